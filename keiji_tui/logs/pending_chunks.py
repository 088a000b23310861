"""What came in of a log and was not shown yet: the newest of it, whatever the speed at which it comes. Pure."""

from __future__ import annotations

from collections import deque

from keiji_tui.logs.chunk import Chunk

MOST_LETTERS = 512 * 1024


class PendingChunks:
    """Pieces in the order of the file; where they are too many the oldest go, and are read from the file if needed."""

    def __init__(self, most: int = MOST_LETTERS) -> None:
        self._most = most
        self._pieces: deque[Chunk] = deque()
        self._letters = 0
        self.end: int | None = None

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def clear(self) -> None:
        """Forget everything."""
        self._pieces.clear()
        self._letters, self.end = 0, None

    def add(self, piece: Chunk) -> None:
        """Take in what was appended."""
        if not piece.text:
            return
        self.look_at(piece)
        while self._letters > self._most and len(self._pieces) > 1:
            self._letters -= len(self._pieces.popleft().text)

    def look_at(self, piece: Chunk) -> None:
        """Take in what the end of the log looks like, even where that is empty."""
        self._pieces.append(piece)
        self._letters += len(piece.text)
        self.end = piece.end

    def pop(self) -> Chunk:
        """Return the oldest pieces that follow each other without a gap, as one."""
        first = self._pieces.popleft()
        rest: list[Chunk] = []
        while self._pieces and self._pieces[0].position == (rest[-1] if rest else first).end:
            rest.append(self._pieces.popleft())
        piece = first.joined(rest)
        self._letters -= len(piece.text)
        return piece
