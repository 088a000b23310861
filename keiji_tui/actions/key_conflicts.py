"""From what a person wishes to the keys that they get: whatever would take a key away from another action does not.

Pure but for `load`, which reads the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keiji_tui.actions.action import Action, Scope, shown
from keiji_tui.actions.catalog import ACTIONS, BY_ID
from keiji_tui.actions.keys_config import FILE, KeyAssignment, read

# What can be pressed at the same time with neither hiding the other on purpose. In a log, on a run and elsewhere the
# more particular place goes first, as with the usual keys.
_TOGETHER = frozenset({Scope.LIST, Scope.TASKS, Scope.TASK, Scope.EVERYWHERE})


@dataclass(frozen=True, slots=True)
class KeyConflicts:
    """What became of a file.

    Args:
        keys: those of actions that have others than the usual ones, by the id of the action.
        complaints: what of the file was not followed, and why.
    """

    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    complaints: Sequence[str] = ()


def rebound(text: str) -> KeyConflicts:
    """Return which keys ``text`` leads to."""
    wishes, complaints = read(text)
    while True:
        keys = {wish.action: wish.keys for wish in wishes}
        # Who only repeats what is usual is not to blame; of the others, who comes last.
        order = sorted(wishes, key=lambda wish: (wish.keys == BY_ID[wish.action].usual, -wish.line))
        found = next(((wish, why) for wish in order if (why := _clash(wish, keys))), None)
        if found is None:
            changed = {action: given for action, given in keys.items() if given != BY_ID[action].usual}
            return KeyConflicts(changed, tuple(complaints))
        wish, why = found
        stays = " ".join(map(shown, BY_ID[wish.action].usual))
        complaints.append(f"{FILE}, line {wish.line}: {wish.action} = {why}; {stays} stays")
        wishes.remove(wish)


def load(path: Path) -> KeyConflicts:
    """Return which keys a file leads to; without one, the usual ones."""
    try:
        return rebound(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return KeyConflicts()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no UTF-8 text"
        return KeyConflicts(complaints=(f"{path} cannot be read: {reason}; the usual keys stay",))


def _clash(wish: KeyAssignment, keys: Mapping[str, tuple[str, ...]]) -> str:
    """Return which key of a wish another action has, and which one; "" where none has."""
    mine = BY_ID[wish.action]
    for other in ACTIONS:
        if other is mine or not _meet(mine, other):
            continue
        for key in wish.keys:
            if key in keys.get(other.id, other.usual):
                return f"{shown(key)}, which is {other.id} ({other.label})"
    return ""


def _meet(one: Action, other: Action) -> bool:
    return one.place is other.place or {one.place, other.place} <= _TOGETHER
