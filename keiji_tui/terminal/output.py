"""The thread that writes to the terminal, no faster than the terminal can receive."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable

from keiji_tui.terminal.flow_control import QUERY, FlowControl
from keiji_tui.terminal.screen_buffer import ScreenBuffer

_CLOSE_TIMEOUT = 5.0  # seconds


class TerminalOutput:
    """Sends what a screen buffer renders in a thread of its own, so that a slow terminal never blocks the caller.

    Args:
        fileno: file descriptor of the terminal.
        encoding: encoding of the terminal; characters that it lacks become question marks.
        size: returns the columns and lines of the terminal.
        on_failure: called in the thread if the terminal has gone away.
    """

    def __init__(
        self,
        buffer: ScreenBuffer,
        fileno: int,
        encoding: str,
        size: Callable[[], tuple[int, int]],
        on_failure: Callable[[], None],
    ) -> None:
        self._buffer = buffer
        self._fileno = fileno
        self._encoding = encoding
        self._size = size
        self._on_failure = on_failure
        self._changed = threading.Condition()  # guards the rest and the buffer; re-entrant because of signal handlers
        self._flow = FlowControl()
        self._other: list[str] = []  # sequences that are sent before the screen
        self._thread: threading.Thread | None = None
        self._is_resized = self._shows_screen = self._is_closing = self._has_failed = False

    def start(self) -> None:
        """Start the thread. Nothing of the screen is sent before `show_screen`."""
        self.close()
        with self._changed:
            self._flow = FlowControl()
            self._is_resized = True
            self._shows_screen = self._is_closing = self._has_failed = False
        self._thread = threading.Thread(target=self._run, name="terminal-output", daemon=True)
        self._thread.start()

    def write(self, data: str) -> None:
        """Interpret output of the application; what it changes is sent when the terminal is ready."""
        with self._changed:
            self._resize()
            self._other.append(self._buffer.write(data))
            self._changed.notify_all()

    def show_screen(self) -> None:
        """Send the screen from now on."""
        with self._changed:
            self._shows_screen = True
            self._changed.notify_all()

    def hide_screen(self, timeout: float) -> None:
        """Send nothing more of the screen, and wait for the replies to earlier queries, ``timeout`` seconds at most."""
        end = time.monotonic() + timeout
        with self._changed:
            self._shows_screen = False
            while (deadline := self._flow.deadline()) is not None and not self._has_failed:
                remaining = min(end, deadline) - time.monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(remaining)

    def adapt_to_size(self) -> None:
        """Adapt the screen to a new size of the terminal. May be called by a signal handler."""
        with self._changed:
            self._is_resized = True  # the handler may have interrupted a change of the buffer
            self._changed.notify_all()

    def redraw(self) -> None:
        """Send the whole screen again."""
        with self._changed:
            self._buffer.invalidate()
            self._changed.notify_all()

    def acknowledge(self) -> None:
        """Record that the terminal has replied to a query."""
        with self._changed:
            self._flow.acknowledge(time.monotonic())
            self._changed.notify_all()

    def close(self) -> None:
        """Send what is left, except the screen, and end the thread."""
        if self._thread is None:
            return
        with self._changed:
            self._is_closing, self._shows_screen = True, False
            self._changed.notify_all()
        self._thread.join(_CLOSE_TIMEOUT)
        self._thread = None

    def _run(self) -> None:
        try:
            while (data := self._next()) is not None:
                self._send(data)
        except OSError:
            with self._changed:
                self._has_failed = True
                self._changed.notify_all()
            self._on_failure()

    def _send(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._fileno, data) :]
            except BlockingIOError:  # another program has made the terminal non-blocking
                select.select([], [self._fileno], [])

    def _next(self) -> bytes | None:
        """Wait until there is something to send, and return it; None at the end."""
        with self._changed:
            while True:
                self._resize()
                now = time.monotonic()
                data = self._render(now)
                if data:
                    # While the screen is hidden, the terminal echoes replies, or they would reach another program.
                    if self._shows_screen and self._flow.sent(len(data), now):
                        data += QUERY.encode()
                    return data
                if self._is_closing:
                    return None
                deadline = self._flow.deadline()
                self._changed.wait(None if deadline is None else max(0.0, deadline - now) + 0.001)

    def _render(self, now: float) -> bytes:
        data = "".join(self._other)
        self._other.clear()
        room = self._flow.room(now)
        if room and self._shows_screen and self._buffer.is_changed:
            data += self._buffer.render(room)
        return data.encode(self._encoding, "replace")

    def _resize(self) -> None:
        if self._is_resized:
            self._is_resized = False
            self._buffer.resize(*self._size())
