"""Termination signals: the application closes its connections and restores the terminal before it exits."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from textual.app import App

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)
_WRITE_TIMEOUT = 1.0  # seconds
# Disable bracketed paste, mouse and focus reports, leave the alternate screen, show the cursor, enable line wrap.
_RESET = b"\x1b[?2004l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?7h\x1b[m"


@contextmanager
def exit_on_signals(app: App[Any], grace: float = 3.0) -> Iterator[None]:
    """Exit the application with 128 plus the number of a termination signal.

    Args:
        grace: seconds after which an application that is blocked is killed, and the terminal restored.
    """
    # Before the application redirects the standard streams.
    terminal = sys.stderr.fileno()
    attributes = None
    with suppress(termios.error):
        attributes = termios.tcgetattr(terminal)

    def force_exit(code: int) -> None:
        with suppress(OSError, termios.error):
            if select.select([], [terminal], [], _WRITE_TIMEOUT)[1]:
                os.write(terminal, _RESET)
            if attributes is not None:
                termios.tcsetattr(terminal, termios.TCSANOW, attributes)
        os._exit(code)

    def terminate(signum: int, _: FrameType | None) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # the application has not started yet, or has ended
            sys.exit(128 + signum)
        loop.call_soon_threadsafe(app.exit, None, 128 + signum)

    def watch() -> None:
        while received := os.read(reader, 64):
            # While an editor or pager runs, ctrl+c has another handler.
            if signals := [signum for signum in received if signal.getsignal(signum) is terminate]:
                time.sleep(grace)
                force_exit(128 + signals[0])
        os.close(reader)

    # Handlers run in the main thread. If that is blocked, only the wakeup descriptor reports a signal.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    previous_writer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=watch, name="signals", daemon=True).start()
    handlers = {signum: signal.signal(signum, terminate) for signum in _SIGNALS}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(previous_writer)
        os.close(writer)
