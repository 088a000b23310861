"""The control center on a slow line: python bench/slow_line.py

The real program runs in a pseudo-terminal whose output arrives at 5 kB/s, 150 ms late; keys and the terminal's replies
are 150 ms late as well. The network buffers 64 kB, as an SSH connection does, so the program can only keep its output
short by itself. Measured are the time until the first screen is complete, the time that `?` and `q` take, and the
bytes sent for each and while idle. A Textual application that shows one label is measured for comparison.

Exits with 1 if a limit is exceeded.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from pty_program import CONTROL_CENTER, PtyProgram

from keiji import engine_process
from keiji_cli.demo import create_tasks, temporary_workspace

BYTES_PER_SECOND = 5000
DELAY = 0.15  # seconds, in each direction
BUFFER = 64 * 1024  # bytes
SIZE = (120, 40)
IDLE_SECONDS = 8.0
LIMIT = 60.0
ONE_LABEL = """
from textual.app import App
from textual.widgets import Label

class OneLabel(App):
    BINDINGS = [("q", "quit", "quit"), ("question_mark", "change", "change")]

    def compose(self):
        yield Label("one label")

    def action_change(self):
        self.query_one(Label).update("another label")

OneLabel().run()
"""


class SlowLine(PtyProgram):
    """A program behind a slow line.

    Attributes:
        sent: bytes that the program has written.
    """

    def __init__(self, argv: tuple[str, ...], environment: dict[str, str]) -> None:
        self.sent = 0
        self._buffer = bytearray()
        self._in_transit: deque[tuple[float, bytes]] = deque()  # to the terminal, by time of arrival
        self._keys: deque[tuple[float, bytes]] = deque()  # to the program, by time of arrival
        self._credit, self._updated_at = 0.0, time.monotonic()
        super().__init__(argv, environment, size=SIZE)

    def type(self, keys: str) -> None:
        self._keys.append((time.monotonic() + DELAY, keys.encode()))

    def pump(self, seconds: float) -> bool:
        readable = [self._master] if len(self._buffer) < BUFFER else []
        if select.select(readable, [], [], min(seconds, 0.01))[0]:
            try:
                data = os.read(self._master, BUFFER)
            except OSError:  # the program has closed the terminal
                data = b""
                time.sleep(0.01)
            self.sent += len(data)
            self._buffer += data
        now = time.monotonic()
        self._credit = min(self._credit + (now - self._updated_at) * BYTES_PER_SECOND, BYTES_PER_SECOND * 0.02)
        self._updated_at = now
        count = min(int(self._credit), len(self._buffer))
        if count:
            self._in_transit.append((now + DELAY, bytes(self._buffer[:count])))
            self._credit -= count
            del self._buffer[:count]
        while self._in_transit and self._in_transit[0][0] <= now:
            self.emulator.feed(self._in_transit.popleft()[1])
            if self.emulator.replies:
                self._keys.append((now + DELAY, bytes(self.emulator.replies)))
                self.emulator.replies.clear()
        while self._keys and self._keys[0][0] <= now:
            os.write(self._master, self._keys.popleft()[1])
        return bool(self._buffer or self._in_transit)

    def measure(self, condition: Callable[[], object]) -> tuple[float, int]:
        """Return the seconds until a condition holds, and the bytes that the program sent meanwhile."""
        begin, sent = time.monotonic(), self.sent
        while not condition() and time.monotonic() - begin < LIMIT:
            self.pump(0.01)
        return time.monotonic() - begin, self.sent - sent

    def idle(self, seconds: float) -> tuple[float, int]:
        """Return the time that passed, and the bytes that the program sent meanwhile."""
        end = time.monotonic() + seconds
        return self.measure(lambda: time.monotonic() > end)


Result = tuple[str, float, int]  # what was measured, seconds, bytes


def measure(argv: tuple[str, ...], environment: dict[str, str], first: str, help_text: str) -> list[Result]:
    """Start a program, press ``?`` and ``q``, and return how long everything took.

    Args:
        first: text at the end of the first screen.
        help_text: text at the end of the screen after ``?``.
    """
    with SlowLine(argv, environment) as line:
        started = line.measure(lambda: first in line.text)
        settled = line.idle(IDLE_SECONDS)
        idle = line.idle(IDLE_SECONDS)
        line.type("?")
        helped = line.measure(lambda: help_text in line.text)
        sent = line.sent
        line.idle(3.0)
        helped = helped[0], helped[1] + line.sent - sent
        line.type("\x1b")
        line.idle(3.0)
        line.type("q")
        quitting = line.measure(lambda: 1049 not in line.emulator.modes)
        return [
            ("first screen", *started),
            ("start, first screen and 8 s more", started[0] + settled[0], started[1] + settled[1]),
            ("idle, per second", 1.0, round(idle[1] / idle[0])),
            ("?, and 3 s more", *helped),
            ("q", *quitting),
        ]


LIMITS = {  # seconds, bytes
    "first screen": (4.0, 6_000),
    "start, first screen and 8 s more": (20.0, 16_000),
    "idle, per second": (1.0, 1_000),
    "?, and 3 s more": (3.0, 12_000),
    "q": (2.0, 2_000),
}


def main() -> int:
    """Measure and print; return the exit code."""
    with temporary_workspace() as paths:
        environment = os.environ | engine_process.environment_for(paths) | {"TERM": "xterm-256color"}
        engine_process.start(paths)
        create_tasks(paths)
        ours = measure((*CONTROL_CENTER, "--temporary"), environment, "? help", "─╯")
    peer = measure((sys.executable, "-c", ONE_LABEL), environment, "one label", "another label")
    is_exceeded = False
    for (name, seconds, sent), (_, peer_seconds, peer_sent) in zip(ours, peer, strict=True):
        most_seconds, most_sent = LIMITS[name]
        is_ok = seconds <= most_seconds and sent <= most_sent
        is_exceeded = is_exceeded or not is_ok
        print(
            f"{name:<34} {seconds:6.2f} s {sent:8,d} bytes   limit {most_seconds:4.1f} s {most_sent:7,d} bytes   "
            f"one label {peer_seconds:5.2f} s {peer_sent:7,d} bytes  {'ok' if is_ok else 'TOO MUCH'}"
        )
    return int(is_exceeded)


if __name__ == "__main__":
    sys.exit(main())
