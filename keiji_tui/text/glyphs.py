"""The symbols of the terminal, and how they look where only ASCII can be shown."""

from __future__ import annotations

import codecs
from functools import lru_cache

from rich.cells import get_character_cell_size

# Each symbol takes one cell, and so does what replaces it, so that the layout is the same.
ASCII_GLYPHS: dict[str, str] = {
    # states of tasks, services and directives
    "▶": ">", "■": "#", "‖": "=", "↻": "@", "▷": "}", "✗": "X", "◌": ":", "○": ".", "●": "o",
    "◍": "!", "◐": "(", "◑": ")", "◆": "%", "•": "*", "✓": "v",
    # bars, from empty to full
    "▁": "_", "▂": ".", "▃": ":", "▄": "-", "▅": "=", "▆": "+", "▇": "*", "█": "#", "░": "-", "▒": "=", "▓": "#",
    "▔": "-", "▕": "|", "▏": "|", "▎": "|", "▍": "|", "▌": "|", "▋": "|", "▊": "|", "▉": "|", "▐": "|", "▝": "'",
    "▘": "'", "▖": ".", "▗": ".",
    # frames and lines
    "┌": "+", "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "╭": "+", "╮": "+", "╯": "+", "╰": "+",
    "│": "|", "┃": "|", "─": "-", "━": "-", "╸": "-", "╺": "-", "║": "|", "═": "=",
    # arrows and edges
    "←": "<", "→": ">", "↑": "^", "↓": "v", "‹": "<", "›": ">", "❯": ">",
    # punctuation
    "·": "-", "×": "x", "–": "-", "—": "-", "“": '"', "”": '"', "‘": "'", "’": "'", "…": "~", "\xa0": " ",
}  # fmt: skip
_TABLE = str.maketrans(ASCII_GLYPHS)


def needs_ascii(term: str, encoding: str) -> bool:
    """Return whether symbols are replaced by ASCII: the Linux console lacks them, as does any encoding but UTF-8.

    Args:
        term: the value of TERM.
        encoding: the encoding of standard output.
    """
    return term == "linux" or codecs.lookup(encoding).name != "utf-8"


@lru_cache(4096)
def to_encodable(text: str, encoding: str) -> str:
    """Return ``text`` in as many cells: symbols become ASCII, and characters that ``encoding`` lacks question marks."""
    if text.isascii():
        return text
    text = text.translate(_TABLE)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_encodable(each, encoding) for each in text)
    return text


def _encodable(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return "?" * get_character_cell_size(character)
    return character
