"""Chunks of a log that have arrived and are not shown yet, at any rate of output, in bounded memory. Pure."""

from __future__ import annotations

from collections import deque

from keiji_tui.logs.chunk import Chunk

MAX_CHARS = 512 * 1024


class PendingChunks:
    """A queue of chunks in file order. If it is full, the oldest are dropped; they can be read from the file.

    Args:
        max_chars: total length of the chunks kept.

    Attributes:
        end: position after the newest chunk; None if there was none.
    """

    def __init__(self, max_chars: int = MAX_CHARS) -> None:
        self._max_chars = max_chars
        self._chunks: deque[Chunk] = deque()
        self._chars = 0
        self.end: int | None = None

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def clear(self) -> None:
        """Discard everything."""
        self._chunks.clear()
        self._chars, self.end = 0, None

    def append(self, chunk: Chunk) -> None:
        """Add what was appended to the log."""
        if not chunk.text:
            return
        self.append_tail(chunk)
        while self._chars > self._max_chars and len(self._chunks) > 1:
            self._chars -= len(self._chunks.popleft().text)

    def append_tail(self, chunk: Chunk) -> None:
        """Add the current tail of the log, even if it is empty."""
        self._chunks.append(chunk)
        self._chars += len(chunk.text)
        self.end = chunk.end

    def pop(self) -> Chunk:
        """Remove the oldest chunk and those that follow it without a gap; return them as one."""
        first = self._chunks.popleft()
        following: list[Chunk] = []
        while self._chunks and self._chunks[0].position == (following[-1] if following else first).end:
            following.append(self._chunks.popleft())
        chunk = first.joined_with(following)
        self._chars -= len(chunk.text)
        return chunk
