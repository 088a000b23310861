"""Log lines, each with its byte position in the file. Pure.

Text arrives in chunks whose bounds are known in bytes. A chunk from the middle of the file may begin in the middle of a
line or of a UTF-8 sequence, whose replacement character has another length than the bytes it replaces. In such a chunk,
line positions are therefore computed from its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

MAX_LINE_CHARS = 16 * 1024  # the rest of a longer line is not kept, so that one line cannot fill the memory


class Line(NamedTuple):
    """A line from ``position`` to ``end`` of the file, including its newline.

    Args:
        raw: the line as it is in the file, up to `MAX_LINE_CHARS` characters.
        is_open: whether the end of the line is still missing.
        is_note: whether the terminal inserted the line to mark a gap.
        task: slug of its task, if the log is merged from several.
    """

    position: int
    end: int
    raw: str
    is_open: bool = False
    is_note: bool = False
    task: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The text from ``position`` to ``end`` of the file, in bytes."""

    position: int
    end: int
    text: str

    def starting_at(self, position: int) -> Chunk:
        """Return the part from ``position`` on."""
        if position <= self.position:
            return self
        return Chunk(position, self.end, self.text.encode()[position - self.position :].decode(errors="replace"))

    def ending_at(self, end: int) -> Chunk:
        """Return the part before ``end``."""
        if self.end <= end:
            return self
        return Chunk(self.position, end, self.text.encode()[: end - self.position].decode(errors="replace"))

    def without_partial_line(self) -> Chunk:
        """Return the chunk without the partial line at its start.

        A chunk without a newline is part of a line that is longer than one read; it is returned unchanged.
        """
        first = self.text.find("\n") + 1
        if first in (0, len(self.text)):
            return self
        text = self.text[first:]
        return Chunk(max(self.position, self.end - _byte_length(text)), self.end, text)

    def lines(self) -> list[Line]:
        """Return the lines of a chunk that begins at the start of a line."""
        if not self.text:
            return []
        parts = self.text.split("\n")
        last = parts.pop()
        is_ascii = self.text.isascii()
        lines = []
        position = self.position
        for part in parts:
            end = min(position + (len(part) if is_ascii else _byte_length(part)) + 1, self.end)
            lines.append(Line(position, end, part[:MAX_LINE_CHARS]))
            position = end
        if last:
            lines.append(Line(position, self.end, last[:MAX_LINE_CHARS], is_open=True))
        elif lines and lines[-1].end != self.end:  # replaced bytes, left by a crash, change the length of the text
            lines[-1] = Line(lines[-1].position, self.end, lines[-1].raw)
        return lines

    def joined_with(self, following: Sequence[Chunk]) -> Chunk:
        """Return one chunk for this one and those that follow it without a gap."""
        if not following:
            return self
        return Chunk(self.position, following[-1].end, "".join((self.text, *(chunk.text for chunk in following))))


def gap_line(begin: int, end: int) -> Line:
    """Return the note that stands for the bytes between two positions that are not available."""
    return Line(begin, end, f"… {end - begin:,} bytes were skipped …", is_note=True)


def join_lines(first: Line, rest: Line) -> Line:
    """Return the line whose beginning is ``first`` and whose remainder is ``rest``."""
    return Line(first.position, rest.end, (first.raw + rest.raw)[:MAX_LINE_CHARS], rest.is_open)


def _byte_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
