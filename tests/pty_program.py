"""Programs on a pseudo-terminal: a process, the terminal emulator that shows its output, and keys for it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from terminal_emulator import TerminalEmulator

LIMIT = 20.0
_REPEAT_SECONDS = 0.5
CONTROL_CENTER = (sys.executable, "-m", "keiji_tui")


class PtyProgram:
    """A program whose controlling terminal is a pseudo-terminal.

    Use it as a context manager; on exit, the program is killed.

    Args:
        size: columns and lines that the terminal reports; the emulator uses 80×24 instead of 0×0.
        term: the value of $TERM; None to use the one in ``environment``, if any.
        replies: whether the terminal answers queries.

    Attributes:
        output: all output so far.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        size: tuple[int, int] = (80, 24),
        term: str | None = "xterm-256color",
        cwd: Path | None = None,
        replies: bool = True,
    ) -> None:
        self.emulator = TerminalEmulator(size[0] or 80, size[1] or 24)
        self.output = b""
        self._has_replies = replies
        self._master, slave = pty.openpty()
        self._set_size(*size)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _RUN_ON_CONTROLLING_TERMINAL, *argv],
            env={name: value for name, value in environment.items() if name not in {"COLUMNS", "LINES"}}
            | ({} if term is None else {"TERM": term}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> PtyProgram:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(self.emulator.text)
        self.process.kill()
        self.process.wait()
        self.close_terminal()

    @property
    def text(self) -> str:
        """The text on the screen."""
        return self.emulator.text

    def resize(self, columns: int, lines: int) -> None:
        self.emulator.resize(columns, lines)
        self._set_size(columns, lines)

    def type(self, keys: str) -> None:
        """Send keys in one packet."""
        os.write(self._master, keys.encode())

    def attributes(self) -> list[object]:
        """Return the terminal attributes, as `termios.tcgetattr` does."""
        return termios.tcgetattr(self._master)

    def close_terminal(self) -> None:
        """Hang up."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Process output until a condition holds; fails after a limit."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < deadline, f"never happened: {what or condition}\n{self.output[-500:]!r}"
            self.pump(0.02)

    def until_shown(self, *texts: str) -> None:
        """Process output until all texts are on the screen."""
        self.until(lambda: all(text in self.text for text in texts), f"on the screen: {texts}")

    def type_until_shown(self, key: str, text: str) -> None:
        """Press a key repeatedly until a text is on the screen, because what the key is about may not be ready yet."""
        typed_at = 0.0

        def is_shown() -> bool:
            nonlocal typed_at
            if time.monotonic() - typed_at > _REPEAT_SECONDS:
                self.type(key)
                typed_at = time.monotonic()
            return text in self.text

        self.until(is_shown, f"on the screen: {text}")

    def wait(self) -> int:
        """Process output until the program exits; return its exit code."""
        self.until(lambda: self.process.poll() is not None, "exit")
        while self.pump(0):
            pass
        assert self.process.returncode is not None
        return self.process.returncode

    def pump(self, seconds: float) -> bool:
        """Process the available output, waiting for it at most this long; return whether there was any."""
        if self._master < 0 or not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the program has closed the terminal
            time.sleep(seconds)
            return False
        self.output += data
        self.emulator.feed(data)
        if self._has_replies and self.emulator.replies:
            os.write(self._master, self.emulator.replies)
        self.emulator.replies.clear()
        return bool(data)

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


_RUN_ON_CONTROLLING_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
