"""keys.conf: which keys a person has instead of the usual ones, as text. Pure.

A line is ``action = key, key``. One that cannot be read is told, and the usual keys of that action stay.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from keiji_tui.actions.action import NAMES, Scope
from keiji_tui.actions.catalog import ACTIONS, BY_ID, of

FILE = "keys.conf"
_BYTES = {
    "ctrl+h": "backspace", "ctrl+i": "tab", "ctrl+j": "enter", "ctrl+m": "enter",
}  # fmt: skip
_TAKEN = {"ctrl+a": "screen", "ctrl+b": "tmux", "ctrl+l": "the terminal", "ctrl+z": "the terminal"}
_SHORT = {letter: name for name, letter in NAMES.items()}
_NAMED = frozenset({
    "enter", "tab", "space", "escape", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown",
    "up", "down", "left", "right", *(f"f{number}" for number in range(1, 25)),
})  # fmt: skip
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
    """A line of the file that can be read: which keys an action is to have.

    Args:
        line: its number, from 1.
        keys: as the toolkit names them.
    """

    line: int
    action: str
    keys: tuple[str, ...]


def written() -> str:
    """Return the file with all actions and the keys that they have now, to begin with."""
    named = ", ".join(sorted(name for name in _NAMED if not name[1:].isdigit()))
    parts = [_HEAD.format(file=FILE, named=named)]
    for place in Scope:
        actions = of(place)
        if actions:
            width = max(len(action.id) for action in actions)
            parts.append(f"\n# {place.value}\n")
            parts += [f"{action.id:{width}} = {', '.join(map(_text, action.keys))}\n" for action in actions]
    return "".join(parts)


def read(text: str) -> tuple[list[KeyAssignment], list[str]]:
    """Return what ``text`` wishes for, and what of it cannot be read, each with its line."""
    wishes: list[KeyAssignment] = []
    complaints: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            wishes.append(_wish(number, line, [wish.action for wish in wishes]))
        except ValueError as error:
            complaints.append(f"{FILE}, line {number}: {error}")
    return wishes, complaints


def _wish(number: int, line: str, known: Sequence[str]) -> KeyAssignment:
    name, is_there, value = (part.strip() for part in line.partition("="))
    if not is_there:
        raise ValueError(f'"action = key" is needed: {_cut(line)}')
    if name not in BY_ID:
        near = difflib.get_close_matches(name, [action.id for action in ACTIONS], n=1)
        hint = f"; did you mean {near[0]}?" if near else "; keiji-tui --keys prints all"
        raise ValueError(f"there is no action {_cut(name)}{hint}")
    if name in known:
        raise ValueError(f"{name} has keys already, further up")
    words = [word.strip() for word in value.split(",") if word.strip()]
    if not words:
        raise ValueError(f"{name} needs a key")
    return KeyAssignment(number, name, tuple(dict.fromkeys(map(_key, words))))


def _key(word: str) -> str:
    """Return a key as the toolkit names it. Raises ValueError, saying why there is no such key."""
    word = word.lower() if len(word) > 1 else word
    key = _SHORT.get(word, word)
    if key.startswith("^") and len(key) > 1:
        key = f"ctrl+{key[1:]}"
    if key in _SIGNS and key not in NAMES and key != "comma":
        key = _SIGNS[key]
    if key in _BYTES:
        raise ValueError(f"{key} cannot be bound: a terminal sends the same for {_BYTES[key]}")
    if key in _TAKEN:
        raise ValueError(f"{key} cannot be bound: {_TAKEN[key]} keeps it for itself")
    *modifiers, plain = key.split("+") if len(key) > 1 else [key]
    is_known = plain in _NAMED or plain in NAMES or plain in _SIGNS or (len(plain) == 1 and plain.isprintable())
    fits = modifiers in ([], ["ctrl"]) or (plain in _NAMED and modifiers in (["shift"], ["ctrl", "shift"]))
    if is_known and fits:
        return key
    near = difflib.get_close_matches(key, [*_NAMED, *_SIGNS], n=1)
    raise ValueError(f"there is no key {_cut(word)}" + (f"; did you mean {near[0]}?" if near else ""))


def _sign(letter: str) -> str:
    return unicodedata.name(letter).lower().replace("-", "_").replace(" ", "_")


_SIGNS = {_sign(letter): letter for letter in "!\"#$%&'()*,.:;<=>?[]^`{|}~"}


def _text(key: str) -> str:
    """Return a key as it is read back: a sign for itself, but for the comma that stands between keys."""
    sign = _SIGNS.get(key, NAMES.get(key, key))
    return key if sign == "," or (len(sign) == 1 and not sign.isascii()) else sign


def _cut(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else "?" for letter in text.strip())
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
