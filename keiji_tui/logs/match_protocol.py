"""The messages between the terminal and the process that matches lines."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Stream(StrEnum):
    """The stream to which a program printed a line."""

    BOTH = "both"
    OUT = "out"
    ERR = "err"


class LineFilter(msgspec.Struct, frozen=True):
    """Selects lines.

    Args:
        pattern: regular expression that lines contain; "" selects all.
        inverted: whether to select the lines that do not contain it.
    """

    pattern: str = ""
    inverted: bool = False
    stream: Stream = Stream.BOTH

    @property
    def is_all(self) -> bool:
        """Whether every line is selected."""
        return not self.pattern and self.stream is Stream.BOTH

    @classmethod
    def parse(cls, text: str, stream: Stream) -> LineFilter:
        """Return the filter for what the user typed; a leading exclamation mark inverts it."""
        inverted = text.startswith("!")
        pattern = text[1:] if inverted else text
        return cls(pattern, inverted and bool(pattern), stream)


ALL_LINES = LineFilter()


class Check(msgspec.Struct, frozen=True, tag=True):
    """Check that a pattern is a valid regular expression."""

    pattern: str


class Select(msgspec.Struct, frozen=True, tag=True):
    """Return the numbers of the lines of ``text`` that the filter selects and that contain ``find``."""

    text: str
    line_filter: LineFilter = ALL_LINES
    find: str = ""


class Locate(msgspec.Struct, frozen=True, tag=True):
    """Return the spans of the pattern in the displayed text of each line."""

    lines: list[str]
    pattern: str


class Export(msgspec.Struct, frozen=True, tag=True):
    """Return the selected lines of ``text`` as text for a file.

    Args:
        run: id of the run to which the lines must belong; "" for any.
        names: prefix of each line of ``text``; empty for none.
    """

    text: str
    line_filter: LineFilter = ALL_LINES
    run: str = ""
    names: list[str] = []


Request = Check | Select | Locate | Export


class Response(msgspec.Struct, frozen=True):
    """The result of a request.

    Args:
        error: why the pattern is invalid; "" if it is valid.
    """

    error: str = ""
    selected: list[int] = []
    spans: list[list[tuple[int, int]]] = []
    text: str = ""
