"""Parses the input of the terminal. Escape followed by another key in one packet is two keys."""

from __future__ import annotations

from collections.abc import Iterable

from textual._xterm_parser import XTermParser
from textual.events import Key

_ESCAPE = "\x1b"
# After escape, these begin the sequences that terminals send for other keys, and are taken for keys only if no more
# input follows. Alt with backspace, which erases a word, is more common than escape followed by backspace.
_NOT_KEYS = frozenset("[O\x7f")


class InputParser(XTermParser):
    """A parser for which alt with a key is escape followed by that key.

    Terminals send the same for both. Over a slow line, or if the user types ahead, escape and the next key arrive
    together. No key with alt has a meaning here, so it is escape that was meant.
    """

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[Key]:
        is_pair = len(sequence) == 2 and sequence[0] == _ESCAPE and sequence[1] not in _NOT_KEYS
        if alt or is_pair:
            yield Key("escape", _ESCAPE)
            sequence = sequence[-1]
        yield from super()._sequence_to_key_events(sequence)
