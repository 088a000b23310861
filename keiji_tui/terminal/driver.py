"""The driver of the terminal: sends only what has changed, at the pace of the terminal."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

from textual import events
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from keiji_tui.terminal.output import TerminalOutput
from keiji_tui.terminal.screen_buffer import ScreenBuffer
from keiji_tui.terminal.terminfo import TerminalInfo

_REPLY_TIMEOUT = 2.0  # seconds


class TerminalDriver(LinuxDriver):
    """A driver that keeps a copy of the screen: a slow terminal shows the latest frame instead of every frame."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        loop = asyncio.get_running_loop()

        def hang_up() -> None:
            with suppress(RuntimeError):  # the event loop may have been closed
                loop.call_soon_threadsafe(app.exit, None, 128 + signal.SIGHUP)

        terminal = sys.__stderr__
        assert terminal is not None
        buffer = ScreenBuffer(can_erase=TerminalInfo.read(os.environ.get("TERM", "")).can_erase)
        self._output = TerminalOutput(
            buffer, terminal.fileno(), terminal.encoding, shutil.get_terminal_size, on_failure=hang_up
        )

    def write(self, data: str) -> None:
        self._output.write(data)

    def start_application_mode(self) -> None:
        self._output.start()
        super().start_application_mode()  # type: ignore[no-untyped-call]  # Textual does not annotate it
        self._output.show_screen()
        resized = signal.getsignal(signal.SIGWINCH)

        def resize(signum: int, frame: FrameType | None) -> None:
            self._output.adapt_to_size()
            if callable(resized):
                resized(signum, frame)

        signal.signal(signal.SIGWINCH, resize)

    def stop_application_mode(self) -> None:
        # Replies that arrive after the terminal is handed over would become input of the next program.
        self._output.hide_screen(_REPLY_TIMEOUT)
        super().stop_application_mode()

    def close(self) -> None:
        super().close()
        self._output.close()

    def process_message(self, message: Message) -> None:
        if isinstance(message, events.CursorPosition):
            self._output.acknowledge()
            return
        if isinstance(message, events.Key) and message.key == "ctrl+l":
            self._output.redraw()
        super().process_message(message)
