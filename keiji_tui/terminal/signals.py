"""Termination signals: the application closes its connections and restores the terminal before it exits."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from textual.app import App

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)
_GRACE_SECONDS = 3.0
# Disable bracketed paste, mouse and focus reports, leave the alternate screen, show the cursor, enable line wrap.
_RESET = b"\x1b[?2004l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?7h\x1b[m"


@contextmanager
def exit_on_signals(app: App[Any]) -> Iterator[None]:
    """Exit the application with 128 plus the number of a termination signal.

    If the application does not exit within some seconds, for example because it is blocked, the terminal is restored
    and the process ends.
    """
    attributes = None
    with suppress(termios.error):
        attributes = termios.tcgetattr(sys.stdin)

    def force_exit(code: int) -> None:
        with suppress(OSError, termios.error):
            os.set_blocking(sys.stderr.fileno(), False)
            os.write(sys.stderr.fileno(), _RESET)
            if attributes is not None:
                termios.tcsetattr(sys.stdin, termios.TCSANOW, attributes)
        os._exit(code)

    def terminate(signum: int, _: FrameType | None) -> None:
        code = 128 + signum
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # the application has not started yet, or has ended
            sys.exit(code)
        timer = threading.Timer(_GRACE_SECONDS, force_exit, [code])
        timer.daemon = True
        timer.start()
        loop.call_soon_threadsafe(app.exit, None, code)

    previous = {signum: signal.signal(signum, terminate) for signum in _SIGNALS}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
