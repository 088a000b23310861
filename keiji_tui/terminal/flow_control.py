"""Flow control: how much output may be in transit to the terminal. Pure: no terminal, no clock.

Networks buffer megabytes, so a write that succeeds says nothing about what the user sees. The terminal is therefore
asked for its cursor position after each chunk of output, and its reply acknowledges the chunk. The window of
unacknowledged output grows as long as replies are prompt, and shrinks when they are late.
"""

from __future__ import annotations

from collections import deque

QUERY = "\x1b[6n"
_QUERY_BYTES = 256  # output between two queries; smaller updates are not acknowledged one by one
_FIRST_WINDOW, _LEAST_WINDOW, _MOST_WINDOW = 4096, 1024, 1 << 20  # bytes
_PROMPT, _LATE = 0.1, 0.4  # seconds above the shortest reply time
_FIRST_REPLY_TIMEOUT = 2.0  # seconds; terminals that have not replied by then are considered unable to
_REPLY_TIMEOUT = 10.0  # seconds; a reply that takes longer is considered lost


class FlowControl:
    """Decides when output may be sent, from the replies to `QUERY`. All times are in seconds on a monotonic clock."""

    def __init__(self) -> None:
        self._in_transit: deque[tuple[int, float]] = deque()  # bytes and time of each query without a reply
        self._since_query = 0  # bytes
        self._has_replied = self._is_disabled = False
        self._shortest = float("inf")  # reply time
        self._adjusted_at = float("-inf")
        self._window = _FIRST_WINDOW

    def room(self, now: float) -> int:
        """Return how many bytes may be sent now; 0 if the terminal has to catch up first."""
        self._expire(now)
        if self._is_disabled:
            return _MOST_WINDOW
        room = self._window - self._since_query - sum(count for count, _ in self._in_transit)
        # Two chunks fill the window, so that one is in transit while the other is acknowledged.
        return min(room, self._window // 2) if room >= _QUERY_BYTES or not self._in_transit else 0

    def deadline(self) -> float | None:
        """Return when a missing reply is given up; None if none is outstanding."""
        if not self._in_transit:
            return None
        return self._in_transit[0][1] + (_REPLY_TIMEOUT if self._has_replied else _FIRST_REPLY_TIMEOUT)

    def sent(self, count: int, now: float) -> bool:
        """Record output; return whether `QUERY` has to follow it."""
        self._since_query += count
        is_first = not self._has_replied and not self._in_transit
        if self._is_disabled or not (is_first or self._since_query >= _QUERY_BYTES):
            return False
        self._in_transit.append((self._since_query, now))
        self._since_query = 0
        return True

    def acknowledge(self, now: float) -> None:
        """Record a reply of the terminal."""
        self._has_replied, self._is_disabled = True, False
        if not self._in_transit:
            return  # it was given up
        is_full = 2 * sum(count for count, _ in self._in_transit) >= self._window
        sent_at = self._in_transit.popleft()[1]
        duration = now - sent_at
        self._shortest = min(self._shortest, duration)
        if sent_at < self._adjusted_at:
            return  # what it says about the previous window is known
        if duration <= self._shortest + _PROMPT and is_full:  # little output says nothing about a larger window
            self._window = min(self._window * 2, _MOST_WINDOW)
        elif duration > self._shortest + _LATE:
            self._window = max(self._window // 2, _LEAST_WINDOW)
        else:
            return
        self._adjusted_at = now

    def _expire(self, now: float) -> None:
        deadline = self.deadline()
        if deadline is not None and now >= deadline:
            self._in_transit.clear()
            self._is_disabled = not self._has_replied
