"""keys.conf: user-defined keys. Pure except for `load`, which reads the file.

A line has the form ``action = key, key``. A line that is invalid, or conflicts with another action, is reported, and
its action keeps the default keys.
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
# one on purpose, as with the default keys.
_ACTIVE_TOGETHER = frozenset({Scope.LIST, Scope.TASKS, Scope.TASK, Scope.EVERYWHERE})
_HEAD = """\
# The keys of keiji-tui. Save this file as {file} next to settings.conf; it is read when the terminal starts. You can
# omit actions that keep their default keys. A key is a letter, a punctuation character, or one of
#   {named}
#   f1 … f24
# optionally prefixed with ctrl+ (or ^); named keys also accept shift+. Write a comma as comma.
# Some keys cannot be used: ctrl+h, ctrl+i, ctrl+j and ctrl+m (terminals send them for backspace, tab and enter),
# ctrl+a and ctrl+b (reserved by screen and tmux), ctrl+l and ctrl+z (reserved by the terminal).
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
        keys: the keys that differ from the defaults, by action id.
        errors: the ignored lines, each with the reason.
    """

    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    errors: Sequence[str] = ()


def load(path: Path) -> KeysConfig:
    """Read keys.conf; if there is no file, return the default keys."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return KeysConfig()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not valid UTF-8"
        return KeysConfig(errors=(f"{path} cannot be read: {reason}; using the default keys",))


def parse(text: str) -> KeysConfig:
    """Return the keys configured in the text of a keys.conf."""
    assignments, errors = _parse_lines(text)
    while True:
        keys = {assignment.action: assignment.keys for assignment in assignments}
        # A line that repeats the defaults does not cause a conflict; of two other lines, the later one does.
        order = sorted(assignments, key=lambda each: (each.keys == BY_ID[each.action].default_keys, -each.line))
        found = next(((each, conflict) for each in order if (conflict := _conflict(each, keys))), None)
        if found is None:
            changed = {action: assigned for action, assigned in keys.items() if assigned != BY_ID[action].default_keys}
            return KeysConfig(changed, tuple(errors))
        assignment, conflict = found
        defaults = " ".join(map(key_label, BY_ID[assignment.action].default_keys))
        errors.append(f"{FILE}, line {assignment.line}: {assignment.action}: {conflict}; keeping {defaults}")
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
            parts += [f"{action.id:{width}} = {', '.join(map(_to_config, action.keys))}\n" for action in actions]
    return "".join(parts)


def _conflict(assignment: KeyAssignment, keys: Mapping[str, tuple[str, ...]]) -> str:
    """Return the key of an assignment that another action uses, and the other action; "" if there is none."""
    action = BY_ID[assignment.action]
    for other in ACTIONS:
        if other is action or not _overlap(action, other):
            continue
        for key in assignment.keys:
            if key in keys.get(other.id, other.default_keys):
                return f"{key_label(key)} is already used by {other.id} ({other.label})"
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
        raise ValueError(f'expected "action = key": {_quoted(line)}')
    if name not in BY_ID:
        near = difflib.get_close_matches(name, [action.id for action in ACTIONS], n=1)
        hint = f"; did you mean {near[0]}?" if near else "; list them with keiji-tui --keys"
        raise ValueError(f"unknown action {_quoted(name)}{hint}")
    if BY_ID[name].is_fixed:
        raise ValueError(f"the keys of {name} are fixed")
    if name in assigned:
        raise ValueError(f"{name} is already set on an earlier line")
    words = [word.strip() for word in value.split(",") if word.strip()]
    if not words:
        raise ValueError(f"{name}: missing key")
    return KeyAssignment(number, name, tuple(dict.fromkeys(map(_parse_key, words))))


def _parse_key(word: str) -> str:
    """Return the Textual name of a key. Raises ValueError with the reason if it cannot be used."""
    word = word.lower() if len(word) > 1 else word
    key = _KEY_NAMES.get(word, word)
    if key.startswith("^") and len(key) > 1:
        key = f"ctrl+{key[1:]}"
    if key in _PUNCTUATION and key not in KEY_LABELS and key != "comma":
        key = _PUNCTUATION[key]
    if key in _SAME_BYTES:
        raise ValueError(f"{key} cannot be bound: terminals cannot distinguish it from {_SAME_BYTES[key]}")
    if key in _RESERVED:
        raise ValueError(f"{key} cannot be bound: it is reserved by {_RESERVED[key]}")
    *modifiers, base = key.split("+") if len(key) > 1 else [key]
    is_known = base in _NAMED or base in KEY_LABELS or base in _PUNCTUATION or (len(base) == 1 and base.isprintable())
    fits = modifiers in ([], ["ctrl"]) or (base in _NAMED and modifiers in (["shift"], ["ctrl", "shift"]))
    if is_known and fits:
        return key
    near = difflib.get_close_matches(key, [*_NAMED, *_PUNCTUATION], n=1)
    raise ValueError(f"unknown key {_quoted(word)}" + (f"; did you mean {near[0]}?" if near else ""))


def _punctuation_name(character: str) -> str:
    return unicodedata.name(character).lower().replace("-", "_").replace(" ", "_")


_PUNCTUATION = {_punctuation_name(character): character for character in "!\"#$%&'()*,.:;<=>?[]^`{|}~"}


def _to_config(key: str) -> str:
    """Return a key as `parse` expects it: punctuation as itself, except the comma, which separates keys."""
    character = _PUNCTUATION.get(key, KEY_LABELS.get(key, key))
    return key if character == "," or (len(character) == 1 and not character.isascii()) else character


def _quoted(text: str) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in text.strip())
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
