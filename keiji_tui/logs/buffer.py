"""The newest lines of a log, in bounded memory, placed by their position in the file. Pure."""

from __future__ import annotations

from collections import deque

MOST_LINES = 5_000
LONGEST_KEPT = 16 * 1024  # letters of a line; nobody reads further, and one line must not fill the memory


class LogBuffer:
    """Whole lines, as they stand in the file.

    Args:
        most: lines kept; older ones are dropped.
    """

    def __init__(self, most: int = MOST_LINES) -> None:
        self._lines: deque[str] = deque(maxlen=most)
        self._partial = ""
        self.end: int | None = None
        self.dropped = 0  # lines dropped so far, so that a reader can stay at the line that they read
        self.added = 0

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> str:
        return self._lines[index]

    def clear(self) -> None:
        """Forget everything, as for another log."""
        self._lines.clear()
        self._partial, self.end, self.dropped, self.added = "", None, 0, 0

    def add(self, position: int, end: int, text: str) -> int:
        """Take in text that lies from ``position`` to ``end`` of the file and return how many lines came with it.

        What is there already is passed over; where something is missing in between, a line says how much.
        """
        before = self.added
        if self.end is not None and position < self.end:
            if end <= self.end:
                return 0
            text = text.encode()[self.end - position :].decode(errors="replace")
        elif self.end is not None and position > self.end:
            self._partial = ""
            self._append(f"… {position - self.end:,} bytes were skipped …")
        self.end = end
        *whole, partial = (self._partial + text).split("\n")
        self._partial = partial[:LONGEST_KEPT]
        for line in whole:
            self._append(line)
        return self.added - before

    def _append(self, line: str) -> None:
        if len(self._lines) == self._lines.maxlen:
            self.dropped += 1
        self._lines.append(line[:LONGEST_KEPT])
        self.added += 1
