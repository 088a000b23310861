"""keys.conf: the keys that a user has instead of the default ones. Pure but for `load`, which reads the file.

A line is ``action = key, key``. A line that is invalid, or that would take a key away from another action, is
reported, and its action keeps the default keys.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keiji_tui.actions.action import KEY_LABELS, Action, Scope, key_label
from keiji_tui.actions.catalog import ACTIONS, BY_ID, actions_in

FILE = "keys.conf"
_SAME_BYTES = {
    "ctrl+h": "backspace", "ctrl+i": "tab", "ctrl+j": "enter", "ctrl+m": "enter",
}  # fmt: skip
_RESERVED = {"ctrl+a": "screen", "ctrl+b": "tmux", "ctrl+l": "the terminal", "ctrl+z": "the terminal"}
_KEY_NAMES = {label: name for name, label in KEY_LABELS.items()}
_NAMED = frozenset({
    "enter", "tab", "space", "escape", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown",
    "up", "down", "left", "right", *(f"f{number}" for number in range(1, 25)),
})  # fmt: skip
# Scopes whose keys are active at the same time. Elsewhere, as in a log or on a run, the inner scope hides the outer
# one on purpose, as it does with the default keys.
_ACTIVE_TOGETHER = frozenset({Scope.LIST, Scope.TASKS, Scope.TASK, Scope.EVERYWHERE})
_HEAD = """\
# The keys of keiji-tui. A copy of this beside settings.conf, as {file}, is read at each start of the terminal;
# lines that are as usual may be left out. A key is a letter, a sign, or one of
#   {named}
#   f1 … f24
# with ctrl+ (or ^) before it, and before those with a name also shift+. Write a comma as comma.
# Not ctrl+h, i, j and m, which terminals send for backspace, tab and enter, nor ctrl+a and ctrl+b, which screen and
# tmux keep for themselves, nor ctrl+l and ctrl+z, which redraw the screen and suspend keiji-tui.
"""


@dataclass(frozen=True, slots=True)
class KeyAssignment:
    """A valid line of the file.

    Args:
        line: its number, from 1.
        keys: as Textual names them.
    """

    line: int
    action: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeysConfig:
    """The result of reading the file.

    Args:
        keys: the keys of actions that differ from the default ones, by the id of the action.
        errors: what was ignored, and why.
    """

    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    errors: Sequence[str] = ()


def load(path: Path) -> KeysConfig:
    """Read keys.conf; without a file, all actions have their default keys."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return KeysConfig()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not valid UTF-8"
        return KeysConfig(errors=(f"{path} cannot be read: {reason}; the default keys stay",))


def parse(text: str) -> KeysConfig:
    """Return the keys that the text of a file leads to."""
    assignments, errors = _parse_lines(text)
    while True:
        keys = {assignment.action: assignment.keys for assignment in assignments}
        # A line that repeats the defaults is not to blame for a conflict; of the others, the later one is.
        order = sorted(assignments, key=lambda each: (each.keys == BY_ID[each.action].default_keys, -each.line))
        found = next(((each, conflict) for each in order if (conflict := _conflict(each, keys))), None)
        if found is None:
            changed = {action: given for action, given in keys.items() if given != BY_ID[action].default_keys}
            return KeysConfig(changed, tuple(errors))
        assignment, conflict = found
        defaults = " ".join(map(key_label, BY_ID[assignment.action].default_keys))
        errors.append(f"{FILE}, line {assignment.line}: {assignment.action} = {conflict}; {defaults} stays")
        assignments.remove(assignment)


def to_text() -> str:
    """Return the content of a keys.conf with all actions and their current keys."""
    named = ", ".join(sorted(name for name in _NAMED if not name[1:].isdigit()))
    parts = [_HEAD.format(file=FILE, named=named)]
    for scope in Scope:
        actions = [action for action in actions_in(scope) if not action.is_fixed]
        if actions:
            width = max(len(action.id) for action in actions)
            parts.append(f"\n# {scope.value}\n")
            parts += [f"{action.id:{width}} = {', '.join(map(_written, action.keys))}\n" for action in actions]
    return "".join(parts)


def _conflict(assignment: KeyAssignment, keys: Mapping[str, tuple[str, ...]]) -> str:
    """Return which key of an assignment belongs to another action, and to which one; "" if none does."""
    mine = BY_ID[assignment.action]
    for other in ACTIONS:
        if other is mine or not _overlap(mine, other):
            continue
        for key in assignment.keys:
            if key in keys.get(other.id, other.default_keys):
                return f"{key_label(key)}, which is {other.id} ({other.label})"
    return ""


def _overlap(one: Action, other: Action) -> bool:
    return one.scope is other.scope or {one.scope, other.scope} <= _ACTIVE_TOGETHER


def _parse_lines(text: str) -> tuple[list[KeyAssignment], list[str]]:
    assignments: list[KeyAssignment] = []
    errors: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            assignments.append(_parse_line(number, line, {each.action for each in assignments}))
        except ValueError as error:
            errors.append(f"{FILE}, line {number}: {error}")
    return assignments, errors


def _parse_line(number: int, line: str, assigned: Collection[str]) -> KeyAssignment:
    name, equals, value = (part.strip() for part in line.partition("="))
    if not equals:
        raise ValueError(f'"action = key" is needed: {_quoted(line)}')
    if name not in BY_ID:
        near = difflib.get_close_matches(name, [action.id for action in ACTIONS], n=1)
        hint = f"; did you mean {near[0]}?" if near else "; keiji-tui --keys prints all"
        raise ValueError(f"there is no action {_quoted(name)}{hint}")
    if BY_ID[name].is_fixed:
        raise ValueError(f"the keys of {name} are fixed")
    if name in assigned:
        raise ValueError(f"{name} has keys already, further up")
    words = [word.strip() for word in value.split(",") if word.strip()]
    if not words:
        raise ValueError(f"{name} needs a key")
    return KeyAssignment(number, name, tuple(dict.fromkeys(map(_parse_key, words))))


def _parse_key(word: str) -> str:
    """Return a key as Textual names it. Raises ValueError with the reason if there is no such key."""
    word = word.lower() if len(word) > 1 else word
    key = _KEY_NAMES.get(word, word)
    if key.startswith("^") and len(key) > 1:
        key = f"ctrl+{key[1:]}"
    if key in _SIGNS and key not in KEY_LABELS and key != "comma":
        key = _SIGNS[key]
    if key in _SAME_BYTES:
        raise ValueError(f"{key} cannot be bound: a terminal sends the same for {_SAME_BYTES[key]}")
    if key in _RESERVED:
        raise ValueError(f"{key} cannot be bound: {_RESERVED[key]} keeps it for itself")
    *modifiers, base = key.split("+") if len(key) > 1 else [key]
    is_known = base in _NAMED or base in KEY_LABELS or base in _SIGNS or (len(base) == 1 and base.isprintable())
    fits = modifiers in ([], ["ctrl"]) or (base in _NAMED and modifiers in (["shift"], ["ctrl", "shift"]))
    if is_known and fits:
        return key
    near = difflib.get_close_matches(key, [*_NAMED, *_SIGNS], n=1)
    raise ValueError(f"there is no key {_quoted(word)}" + (f"; did you mean {near[0]}?" if near else ""))


def _sign_name(character: str) -> str:
    return unicodedata.name(character).lower().replace("-", "_").replace(" ", "_")


_SIGNS = {_sign_name(character): character for character in "!\"#$%&'()*,.:;<=>?[]^`{|}~"}


def _written(key: str) -> str:
    """Return a key as `parse` reads it: a sign as itself, except the comma, which separates keys."""
    sign = _SIGNS.get(key, KEY_LABELS.get(key, key))
    return key if sign == "," or (len(sign) == 1 and not sign.isascii()) else sign


def _quoted(text: str) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in text.strip())
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
