"""The loaded part of a log: the lines around one position in a file of any size, in bounded memory. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from keiji_tui.logs.chunk import Line, continues, gap_line, join_lines

MAX_LINES = 5_000
MAX_CHARS = 4 * 1024 * 1024  # only reached if lines are very long
MARGIN_LINES = 300  # lines kept loaded on either side of the viewport
_MARGIN_CHARS = MAX_CHARS // 8


class LogBuffer:
    """The lines between ``begin`` and ``end``: all of them, or those that the filter selects.

    Args:
        max_lines: number of lines kept.
        max_chars: total length of the lines kept.

    Attributes:
        begin, end: bounds of the range that was read, in bytes; None if nothing was read yet.
        oldest: oldest position that the file still contains; None if unknown.
        size: last known size of the log, in bytes.
        version: incremented whenever the lines change.
    """

    def __init__(self, max_lines: int = MAX_LINES, max_chars: int = MAX_CHARS) -> None:
        self._max_lines = max_lines
        self._max_chars = max_chars
        self._lines: list[Line] = []
        self._chars = 0
        self.begin: int | None = None
        self.end: int | None = None
        self.oldest: int | None = None
        self.size = 0
        self.version = 0

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Line:
        return self._lines[index]

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines)

    def clear(self) -> None:
        """Discard everything, for another log."""
        self._lines, self._chars = [], 0
        self.version += 1
        self.begin = self.end = self.oldest = None
        self.size = 0

    @property
    def is_full(self) -> bool:
        return len(self._lines) >= self._max_lines or self._chars >= self._max_chars

    @property
    def is_at_end(self) -> bool:
        """Whether the end of the log is loaded."""
        return self.end is not None and self.end >= self.size

    @property
    def is_at_start(self) -> bool:
        """Whether the oldest line of the log is loaded."""
        return self.begin is not None and self.oldest is not None and self.begin <= self.oldest

    def index(self, position: int) -> int:
        """Return the index of the line that contains ``position``, or of the line before it; at least 0."""
        return max(0, bisect_right(self._lines, position, key=lambda line: line.position) - 1)

    def has_margin_before(self, position: int) -> bool:
        """Return whether enough lines are loaded before ``position`` to scroll up."""
        return self._is_margin(range(self.index(position) - 1, -1, -1)) if self._lines else False

    def has_margin_after(self, position: int) -> bool:
        """Return whether enough lines are loaded after ``position`` to scroll down."""
        return self._is_margin(range(self.index(position) + 1, len(self._lines))) if self._lines else False

    def _is_margin(self, indexes: range) -> bool:
        if len(indexes) >= MARGIN_LINES:
            return True
        return sum(len(self._lines[index].raw) for index in indexes) >= _MARGIN_CHARS

    def replace(self, lines: Sequence[Line], begin: int, end: int) -> None:
        """Replace all lines."""
        self._lines, self._chars = list(lines), sum(len(line.raw) for line in lines)
        self.begin, self.end = begin, end
        self.version += 1
        self.size = max(self.size, end)
        self._drop_first()

    def append(self, lines: Sequence[Line], begin: int, end: int) -> None:
        """Add lines at the end; the first ones are dropped if there are too many."""
        known = self.end
        if known is None:
            self.replace(lines, begin, end)
            return
        new = list(lines)
        if begin > known:
            new.insert(0, gap_line(known, begin))
        elif new and self._lines and continues(self._lines[-1], new[0]):
            last = self._lines.pop()
            self._chars -= len(last.raw)
            new[0] = join_lines(last, new[0])
        self._lines += new
        self.version += bool(new)
        self._chars += sum(len(line.raw) for line in new)
        self.end = max(known, end)
        self.size = max(self.size, end)
        self._drop_first()

    def prepend(self, lines: Sequence[Line], begin: int) -> None:
        """Add lines at the start; the last ones are dropped if there are too many."""
        new = list(lines)
        if new and self._lines and continues(new[-1], self._lines[0]):
            self._chars -= len(self._lines[0].raw)
            new[-1] = join_lines(new[-1], self._lines.pop(0))
        self._lines[:0] = new
        self.version += bool(new)
        self._chars += sum(len(line.raw) for line in new)
        self.begin = begin
        self._drop_last()

    def _drop_first(self) -> None:
        count = max(0, len(self._lines) - self._max_lines)
        chars = self._chars - sum(len(line.raw) for line in self._lines[:count])
        while chars > self._max_chars and count < len(self._lines) - 1:
            chars -= len(self._lines[count].raw)
            count += 1
        if count:
            self.begin = self._lines[count].position
            del self._lines[:count]
        self._chars = chars

    def _drop_last(self) -> None:
        keep = min(len(self._lines), self._max_lines)
        chars = self._chars - sum(len(line.raw) for line in self._lines[keep:])
        while chars > self._max_chars and keep > 1:
            keep -= 1
            chars -= len(self._lines[keep].raw)
        if keep < len(self._lines):
            self.end = self._lines[keep - 1].end
            del self._lines[keep:]
        self._chars = chars
