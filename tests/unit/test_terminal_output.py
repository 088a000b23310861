"""The thread that writes to the terminal."""

from __future__ import annotations

import os
import pty
import time
import tty
from collections.abc import Callable, Iterator

import pytest
from terminal_emulator import TerminalEmulator

from keiji_tui.terminal.output import TerminalOutput
from keiji_tui.terminal.screen_buffer import ScreenBuffer

SIZE = (200, 100)
LIMIT = 10.0


class Terminal:
    """A terminal that is read only when a test does so.

    Attributes:
        failures: calls of ``on_failure``.
    """

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.emulator = TerminalEmulator(*SIZE)
        self.failures: list[None] = []
        self.output = TerminalOutput(
            ScreenBuffer(), self.slave, "iso8859-1", lambda: SIZE, lambda: self.failures.append(None)
        )

    def until(self, condition: Callable[[], object], *, replies: bool = True) -> None:
        """Read output until a condition holds."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < deadline, self.emulator.text
            try:
                self.emulator.feed(os.read(self.master, 65536))
            except BlockingIOError:
                time.sleep(0.002)  # until the thread has written more
            while replies and self.emulator.replies:
                del self.emulator.replies[: self.emulator.replies.index(b"R") + 1]
                self.output.acknowledge()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    terminal.output.start()
    terminal.output.show_screen()
    yield terminal
    terminal.output.close()
    os.close(terminal.slave)
    os.close(terminal.master)


def frame(text: str) -> str:
    """Return a frame that is larger than the buffer of a pseudo-terminal."""
    return "".join(f"\x1b[{y + 1};1H" + f"{text}{y:03} "[:8] * (SIZE[0] // 8) for y in range(SIZE[1]))


@pytest.mark.parametrize("is_blocking", [True, False])
def test_a_frame_larger_than_the_buffer_of_the_terminal_arrives(is_blocking: bool, terminal: Terminal) -> None:
    os.set_blocking(terminal.slave, is_blocking)
    terminal.output.write(frame("abcd"))
    terminal.until(lambda: terminal.emulator.text.count("abcd099") == SIZE[0] // 8)
    assert not terminal.failures


def test_writing_never_waits_for_the_terminal_and_outdated_frames_are_skipped(terminal: Terminal) -> None:
    begin = time.monotonic()
    for number in range(50):
        terminal.output.write(frame(f"{number:04}"))
    assert time.monotonic() - begin < LIMIT / 2
    shown: list[bool] = []
    terminal.until(lambda: shown.append("0025" in terminal.emulator.text) or "0049099" in terminal.emulator.text)
    assert not any(shown)


def test_hiding_the_screen_waits_for_the_replies_that_are_outstanding(terminal: Terminal) -> None:
    terminal.output.write("\x1b[1;1Htext")
    terminal.until(lambda: terminal.emulator.replies, replies=False)
    begin = time.monotonic()
    terminal.output.hide_screen(0.05)
    assert time.monotonic() - begin >= 0.05
    terminal.output.acknowledge()
    begin = time.monotonic()
    terminal.output.hide_screen(LIMIT)
    assert time.monotonic() - begin < LIMIT / 2


def test_characters_that_the_encoding_lacks_become_question_marks(terminal: Terminal) -> None:
    terminal.output.write("\x1b[1;1Hstate \u25cf")
    terminal.until(lambda: "state ?" in terminal.emulator.text)


def test_a_terminal_that_has_gone_away_is_reported(terminal: Terminal) -> None:
    os.close(terminal.master)
    terminal.master = os.dup(terminal.slave)
    terminal.output.write("text")
    deadline = time.monotonic() + LIMIT
    while not terminal.failures:
        assert time.monotonic() < deadline
        time.sleep(0.002)  # until the thread has failed
