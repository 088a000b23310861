"""The part of a log that is read right now: lines around a place in a file of any size, in bounded memory. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from keiji_tui.logs.chunk import Line, joined, skipped

MOST_LINES = 5_000
MOST_LETTERS = 4 * 1024 * 1024  # reached only where lines are very long
MARGIN = 300  # lines that are kept ready on either side of what is seen
_MARGIN_LETTERS = MOST_LETTERS // 8


class LogBuffer:
    """Lines of the file from ``begin`` to ``end``: all of them, or those that a filter lets through.

    Args:
        most: lines kept; ``letters`` bounds how long they are together.

    Attributes:
        begin, end: the bounds of what was looked at, in bytes; None as long as nothing was.
        oldest: the oldest position that the file still has; None where nobody asked yet.
        size: where the file ends, as far as is known.
        version: counts up whenever there are other lines.
    """

    def __init__(self, most: int = MOST_LINES, letters: int = MOST_LETTERS) -> None:
        self._most = most
        self._most_letters = letters
        self._lines: list[Line] = []
        self._letters = 0
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
        """Forget everything, as for another log."""
        self._lines, self._letters = [], 0
        self.version += 1
        self.begin = self.end = self.oldest = None
        self.size = 0

    @property
    def is_full(self) -> bool:
        return len(self._lines) >= self._most or self._letters >= self._most_letters

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is known to follow."""
        return self.end is not None and self.end >= self.size

    @property
    def is_at_start(self) -> bool:
        """Whether nothing that is kept comes before."""
        return self.begin is not None and self.oldest is not None and self.begin <= self.oldest

    def index(self, position: int) -> int:
        """Return the index of the line at a position, of the one before it where there is none; 0 at least."""
        return max(0, bisect_right(self._lines, position, key=lambda line: line.position) - 1)

    def has_margin_before(self, position: int) -> bool:
        """Return whether enough lines are loaded before a position for somebody who scrolls on."""
        return self._is_margin(range(self.index(position) - 1, -1, -1)) if self._lines else False

    def has_margin_behind(self, position: int) -> bool:
        """Return whether enough lines are loaded behind a position."""
        return self._is_margin(range(self.index(position) + 1, len(self._lines))) if self._lines else False

    def _is_margin(self, indexes: range) -> bool:
        if len(indexes) >= MARGIN:
            return True
        return sum(len(self._lines[index].raw) for index in indexes) >= _MARGIN_LETTERS

    def reset(self, lines: Sequence[Line], begin: int, end: int) -> None:
        """Put other lines in place of all."""
        self._lines, self._letters = list(lines), sum(len(line.raw) for line in lines)
        self.begin, self.end = begin, end
        self.version += 1
        self.size = max(self.size, end)
        self._drop_older()

    def append(self, lines: Sequence[Line], begin: int, end: int) -> None:
        """Add lines behind the last one; the oldest are dropped where they become too many."""
        known = self.end
        if known is None:
            self.reset(lines, begin, end)
            return
        new = list(lines)
        if begin > known:
            new.insert(0, skipped(known, begin))
        elif new and self._lines and self._lines[-1].is_open and self._lines[-1].end == new[0].position:
            last = self._lines.pop()
            self._letters -= len(last.raw)
            new[0] = joined(last, new[0])
        self._lines += new
        self.version += bool(new)
        self._letters += sum(len(line.raw) for line in new)
        self.end = max(known, end)
        self.size = max(self.size, end)
        self._drop_older()

    def prepend(self, lines: Sequence[Line], begin: int) -> None:
        """Add lines before the first one; the newest are dropped where they become too many."""
        self._lines[:0] = lines
        self.version += bool(lines)
        self._letters += sum(len(line.raw) for line in lines)
        self.begin = begin
        self._drop_newer()

    def _drop_older(self) -> None:
        count = max(0, len(self._lines) - self._most)
        letters = self._letters - sum(len(line.raw) for line in self._lines[:count])
        while letters > self._most_letters and count < len(self._lines) - 1:
            letters -= len(self._lines[count].raw)
            count += 1
        if count:
            self.begin = self._lines[count].position
            del self._lines[:count]
        self._letters = letters

    def _drop_newer(self) -> None:
        keep = min(len(self._lines), self._most)
        letters = self._letters - sum(len(line.raw) for line in self._lines[keep:])
        while letters > self._most_letters and keep > 1:
            keep -= 1
            letters -= len(self._lines[keep].raw)
        if keep < len(self._lines):
            self.end = self._lines[keep - 1].end
            del self._lines[keep:]
        self._letters = letters
