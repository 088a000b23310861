"""The driver of the terminal: sends only what has changed, at the pace of the terminal."""

from __future__ import annotations

import asyncio
import os
import selectors
import shutil
import signal
import sys
import termios
from codecs import getincrementaldecoder
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import Any

from textual import events
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from keiji_tui.terminal.clipboard import wrap_for_multiplexer
from keiji_tui.terminal.input_parser import InputParser
from keiji_tui.terminal.output import TerminalOutput
from keiji_tui.terminal.screen_buffer import ScreenBuffer
from keiji_tui.terminal.terminfo import TerminalInfo

_CLIPBOARD = "\x1b]52;"  # OSC 52
_REPLY_TIMEOUT = 2.0  # seconds
_POLL_SECONDS = 0.1  # how soon escape counts as a key of its own, and the input thread ends
_READ_BYTES = 4096


class TerminalDriver(LinuxDriver):
    """A driver that keeps a copy of the screen: a slow terminal shows the latest frame instead of every frame."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._application = app
        self._is_active = False
        self._event_loop = asyncio.get_running_loop()
        terminal = sys.__stderr__
        assert terminal is not None
        buffer = ScreenBuffer(can_erase=TerminalInfo.read(os.environ.get("TERM", "")).can_erase)
        self._output = TerminalOutput(
            buffer, terminal.fileno(), terminal.encoding, shutil.get_terminal_size, on_failure=self._hang_up
        )
        # Keys that work everywhere, in dialogs and input fields as well, because terminals themselves handle them in
        # other programs.
        self._keys = {"ctrl+z": self._suspend, "ctrl+l": self._output.redraw}

    def write(self, data: str) -> None:
        self._output.write(wrap_for_multiplexer(data, os.environ) if data.startswith(_CLIPBOARD) else data)

    def start_application_mode(self) -> None:
        # Textual's handlers would start a second input thread if the process was resumed in the background before.
        signal.signal(signal.SIGTSTP, self._suspend_on_signal)
        signal.signal(signal.SIGCONT, signal.SIG_DFL)
        self._is_active = True
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
        self._is_active = False
        # Replies that arrive after the terminal is handed over would become input of the next program.
        self._output.hide_screen(_REPLY_TIMEOUT)
        super().stop_application_mode()

    def close(self) -> None:
        super().close()
        self._output.close()

    def run_input_thread(self) -> None:
        parser = InputParser()
        decoder = getincrementaldecoder("utf-8")(errors="replace")
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(_POLL_SECONDS):
                    try:
                        data = os.read(self.fileno, _READ_BYTES)
                    except OSError:
                        return  # the terminal has hung up, which also ends the program, with a signal
                    if text := decoder.decode(data):
                        self._process_all(parser.feed(text))
                    elif not data:
                        self.exit_event.wait(_POLL_SECONDS)
                self._process_all(parser.tick())

    def _process_all(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.process_message(message)

    def process_message(self, message: Message) -> None:
        if isinstance(message, events.CursorPosition):
            self._output.acknowledge()
            return
        if isinstance(message, events.Key) and (action := self._keys.get(message.key)):
            self._event_loop.call_soon_threadsafe(action)
            return
        super().process_message(message)

    def _suspend(self) -> None:
        """Stop the job that this process belongs to, as the terminal itself would do on ctrl+z."""
        group = os.getpgrp()
        if group == os.getsid(0):  # a shell with job control starts each job in a process group of its own
            message = "there is no shell with job control that could resume keiji-tui"
            self._application.notify(message, title="suspend: not now", severity="warning", markup=False)
            return
        with self._application.suspend():
            os.killpg(group, signal.SIGSTOP)
            self._wait_for_foreground()

    def _wait_for_foreground(self) -> None:
        """Return at once in the foreground; in the background, stop the job, as often as it is resumed there.

        The kernel does both when a program controls the terminal. A check here would be too late if ``fg`` came between
        the check and the stop.
        """
        handler = signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        try:
            with suppress(termios.error):  # the shell that could resume the job has ended
                termios.tcflow(self.fileno, termios.TCOON)
        finally:
            signal.signal(signal.SIGTTOU, handler)

    def _suspend_on_signal(self, _: int, __: FrameType | None) -> None:
        if self._is_active:
            self._event_loop.call_soon_threadsafe(self._suspend)
        else:  # another program uses the terminal, and the event loop waits for it
            os.kill(os.getpid(), signal.SIGSTOP)

    def _hang_up(self) -> None:
        with suppress(RuntimeError):  # the event loop may have been closed
            self._event_loop.call_soon_threadsafe(self._application.exit, None, 128 + signal.SIGHUP)
