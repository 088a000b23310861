"""Lines of a log, each with its place in the file. Pure.

Text comes in pieces of which only the bounds are known in bytes. A piece that was read from somewhere in the middle
begins with the rest of a line, and perhaps with the rest of a letter, which takes up another number of bytes than what
stands for it in the text; so where a piece does not begin with a line, its lines are placed from its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

LONGEST_KEPT = 16 * 1024  # letters of a line; nobody reads further, and one line must not fill the memory


class Line(NamedTuple):
    """A line from ``position`` to ``end`` of the file, its newline included.

    Args:
        raw: as it stands in the file, up to `LONGEST_KEPT` letters.
        is_open: whether its end is still to come.
        is_note: whether the terminal says it, of a place where lines are missing.
        task: of which task it is, by its slug, where there are several.
    """

    position: int
    end: int
    raw: str
    is_open: bool = False
    is_note: bool = False
    task: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Text that lies from ``position`` to ``end`` of the file."""

    position: int
    end: int
    text: str

    def behind(self, position: int) -> Chunk:
        """Return the part from ``position`` on."""
        if position <= self.position:
            return self
        return Chunk(position, self.end, self.text.encode()[position - self.position :].decode(errors="replace"))

    def until(self, end: int) -> Chunk:
        """Return the part before ``end``: what begins further on than asked also reaches further."""
        if self.end <= end:
            return self
        return Chunk(self.position, end, self.text.encode()[: end - self.position].decode(errors="replace"))

    def whole(self) -> Chunk:
        """Return it without the line in the middle of which it begins.

        One without any newline stays as it is, for a line that is longer than what is read at once.
        """
        first = self.text.find("\n") + 1
        if first in (0, len(self.text)):
            return self
        text = self.text[first:]
        return Chunk(max(self.position, self.end - _size(text)), self.end, text)

    def lines(self) -> list[Line]:
        """Return the lines of a piece that begins with one."""
        if not self.text:
            return []
        parts = self.text.split("\n")
        last = parts.pop()
        is_ascii = self.text.isascii()
        lines = []
        position = self.position
        for part in parts:
            end = min(position + (len(part) if is_ascii else _size(part)) + 1, self.end)
            lines.append(Line(position, end, part[:LONGEST_KEPT]))
            position = end
        if last:
            lines.append(Line(position, self.end, last[:LONGEST_KEPT], is_open=True))
        elif lines and lines[-1].end != self.end:  # what a crash tore apart has another length than what stands for it
            lines[-1] = Line(lines[-1].position, self.end, lines[-1].raw)
        return lines

    def joined(self, rest: Sequence[Chunk]) -> Chunk:
        """Return it with the pieces that follow it without a gap."""
        if not rest:
            return self
        return Chunk(self.position, rest[-1].end, "".join((self.text, *(piece.text for piece in rest))))


def skipped(begin: int, end: int) -> Line:
    """Return what stands where nothing is kept of the file between two positions."""
    return Line(begin, end, f"… {end - begin:,} bytes were skipped …", is_note=True)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def joined(first: Line, rest: Line) -> Line:
    """Return a line of which the two are the beginning and what followed."""
    return Line(first.position, rest.end, (first.raw + rest.raw)[:LONGEST_KEPT], rest.is_open)
