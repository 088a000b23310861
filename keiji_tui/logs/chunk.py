"""Log lines, each with its byte position in the file. Pure.

Text arrives in chunks whose bounds are known in bytes. A chunk from the middle of the file may begin in the middle of a
line or of a UTF-8 sequence, whose replacement character has another length than the bytes it replaces. In such a chunk,
line positions are therefore computed from its end.

A program that pauses in the middle of a line has the parts of the line logged one by one, each marked as continued. The
parts are joined here, so that a progress bar is one line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keiji_tui.logs.logfmt import CONTINUED, FORMATTED, quote, unescape
from keiji_tui.logs.terminal_line import compact, has_moves

MAX_LINE_CHARS = 16 * 1024  # the rest of a longer line is not kept, so that one line cannot fill the memory
_MAX_OVERWRITTEN_CHARS = 2 * 1024  # of a line that overwrites itself; the invisible part of a longer one is not kept
_COMPLETE_ESCAPES = re.compile(r"(?:[^\\]|\\x[0-9a-fA-F]{2}|\\[^x])*", re.DOTALL)


class Line(NamedTuple):
    """A line from ``position`` to ``end`` of the file, including its newline.

    Args:
        raw: the line as it is in the file, up to `MAX_LINE_CHARS` characters; see `join_fragments` for exceptions.
        is_open: whether the end of the line has not been read yet.
        is_note: whether the terminal inserted the line to mark a gap.
        task: slug of its task, if the log is merged from several.
        is_continued: whether the next line may be a continuation of its message.
        dropped: number of characters that were not kept.
    """

    position: int
    end: int
    raw: str
    is_open: bool = False
    is_note: bool = False
    task: str = ""
    is_continued: bool = False
    dropped: int = 0


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
        """Return the lines of a chunk that begins at the start of a line; see `join_fragments`."""
        lines = self.stored_lines()
        has_fragments = f"{CONTINUED}\n" in self.text
        return join_fragments(lines) if has_fragments or any(map(_is_long, lines)) else lines

    def stored_lines(self) -> list[Line]:
        """Return the lines as they are in the file, in full length."""
        if not self.text:
            return []
        parts = self.text.split("\n")
        last = parts.pop()
        is_ascii = self.text.isascii()
        has_fragments = f"{CONTINUED}\n" in self.text
        lines = []
        position = self.position
        for part in parts:
            end = min(position + (len(part) if is_ascii else _byte_length(part)) + 1, self.end)
            is_continued = has_fragments and part.endswith(CONTINUED)
            lines.append(
                Line(position, end, part, is_continued=is_continued) if is_continued else Line(position, end, part)
            )
            position = end
        if last:
            lines.append(Line(position, self.end, last, is_open=True))
        elif lines and lines[-1].end != self.end:  # replaced bytes, left by a crash, change the length of the text
            lines[-1] = lines[-1]._replace(end=self.end)
        return lines

    def joined_with(self, following: Sequence[Chunk]) -> Chunk:
        """Return one chunk for this one and those that follow it without a gap."""
        if not following:
            return self
        return Chunk(self.position, following[-1].end, "".join((self.text, *(chunk.text for chunk in following))))


def gap_line(begin: int, end: int) -> Line:
    """Return the note that stands for the bytes between two positions that are not available."""
    return Line(begin, end, f"… {end - begin:,} bytes were skipped …", is_note=True)


def join_fragments(lines: Sequence[Line]) -> list[Line]:
    """Return the lines with each fragment joined to the one that it continues, if no other line is between them.

    The raw text of a joined line is a line of the same format. Text that the program has overwritten may be missing.
    """
    joined: list[Line] = []
    fragments: list[Line] = []
    for line in lines:
        if fragments and not continues(fragments[-1], line):
            joined.append(_join(fragments))
            fragments = []
        if fragments or line.is_continued:
            fragments.append(line)
        else:
            joined.append(_shorten(line) if _is_long(line) else line)
    if fragments:
        joined.append(_join(fragments))
    return joined


def continues(first: Line, rest: Line) -> bool:
    """Return whether ``rest`` is the remainder of the same line, or a continuation of its message."""
    if first.end != rest.position or first.is_note or rest.is_note:
        return False
    if first.is_open:
        return True
    return first.is_continued and first.task == rest.task and _stream(first.raw) == _stream(rest.raw) is not None


def join_lines(first: Line, rest: Line) -> Line:
    """Return the line that consists of ``first`` and what `continues` it."""
    return _join([first, rest])


def _join(fragments: Sequence[Line]) -> Line:
    first, last = fragments[0], fragments[-1]
    matches = [FORMATTED.fullmatch(line.raw) for line in fragments]
    if first.is_open or None in matches:
        raw = "".join(line.raw for line in fragments)
    else:
        contents = "".join(match[7] for match in matches if match)
        raw = f'{first.raw[: first.raw.index(" msg=")]} msg="{contents}' + ("" if last.is_open else '"')
    return _shorten(
        first._replace(
            end=last.end,
            raw=raw,
            is_open=last.is_open,
            is_continued=last.is_continued,
            dropped=sum(line.dropped for line in fragments),
        )
    )


def _is_long(line: Line) -> bool:
    return len(line.raw) > _MAX_OVERWRITTEN_CHARS


def _shorten(line: Line) -> Line:
    """Return a line that is not too long, with what it prints last."""
    raw, dropped = line.raw, line.dropped
    if _is_long(line) and not line.is_open:
        raw = _without_overwritten(raw)
    if len(raw) > MAX_LINE_CHARS:
        dropped += len(raw) - MAX_LINE_CHARS
        raw = raw[:MAX_LINE_CHARS]
        if "\\" in raw[-4:] and (complete := _COMPLETE_ESCAPES.match(raw)) is not None:
            raw = complete[0]
    return line._replace(raw=raw, dropped=dropped)


def _without_overwritten(raw: str) -> str:
    match = FORMATTED.fullmatch(raw) if "\\" in raw else None
    if match is None or not has_moves(message := unescape(match[7])):
        return raw
    return f"{match[1]}{quote(compact(message))}"


def _stream(raw: str) -> str | None:
    """Return level and run of a formatted line."""
    match = FORMATTED.fullmatch(raw)
    return match[3] if match else None


def _byte_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
