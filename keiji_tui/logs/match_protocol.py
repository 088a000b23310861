"""What is asked of lines, and the messages between the terminal and the process that matches them."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Stream(StrEnum):
    """Where a program printed a line."""

    BOTH = "both"
    OUT = "out"
    ERR = "err"


class LineFilter(msgspec.Struct, frozen=True):
    """Which lines are shown.

    Args:
        pattern: a regular expression that is found in them; "" for every line.
        inverted: whether it is not found in them.
    """

    pattern: str = ""
    inverted: bool = False
    stream: Stream = Stream.BOTH

    @property
    def is_all(self) -> bool:
        return not self.pattern and self.stream is Stream.BOTH

    @classmethod
    def typed(cls, text: str, stream: Stream) -> LineFilter:
        """Return what somebody typed: an exclamation mark in front inverts."""
        inverted = text.startswith("!")
        pattern = text[1:] if inverted else text
        return cls(pattern, inverted and bool(pattern), stream)


ALL = LineFilter()


class Check(msgspec.Struct, frozen=True, tag=True):
    """Is this a regular expression?"""

    pattern: str


class Choose(msgspec.Struct, frozen=True, tag=True):
    """Which lines of ``text`` are shown and have ``find`` in them? Answered by their numbers."""

    text: str
    sift: LineFilter = ALL
    find: str = ""


class Locate(msgspec.Struct, frozen=True, tag=True):
    """Where in each of some lines, as they are shown, is the pattern? Answered by spans for each."""

    lines: list[str]
    pattern: str


class Print(msgspec.Struct, frozen=True, tag=True):
    """The lines of ``text`` that are shown, and belong to ``run`` unless that is "", as text for a file.

    Args:
        names: what stands before each line of ``text``, where there is anything to tell them apart.
    """

    text: str
    sift: LineFilter = ALL
    run: str = ""
    names: list[str] = []


Question = Check | Choose | Locate | Print


class Answer(msgspec.Struct, frozen=True):
    """What came of a question; ``error`` says why the pattern is none."""

    error: str = ""
    chosen: list[int] = []
    spans: list[list[tuple[int, int]]] = []
    text: str = ""
