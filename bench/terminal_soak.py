"""Memory of the terminal in the course of time, as a real program in a pseudo-terminal on a real engine.

Usage: python bench/terminal_soak.py [minutes, default 9]

Six tasks print all the time; the selection moves between them. A minute stands for 30 moves, which take 9 seconds.
Prints the resident memory after the warm-up, and its growth until the end. Exits with 1 if the limit is exceeded.
"""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from installation import Installation
from many_tasks import memory
from terminal_logs import Table

from keiji_engine.bus import protocol as p

GROWTH_LIMIT = 1.5  # MiB
ROWS, COLUMNS = 40, 120
TASKS = 6
PRINTS = """
import time

def function():
    number = 0
    while True:
        print("GET /orders", number, "x" * (number % 60))
        number += 1
        time.sleep(0.05)
"""
WARM_UP_MOVES = 150
MOVES_PER_MINUTE = 30
MOVE_SECONDS = 0.3


class Terminal:
    """`keiji-tui` in a pseudo-terminal whose output is discarded."""

    def __init__(self, installation: Installation) -> None:
        self._descriptor, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "keiji_tui"],
            stdin=end, stdout=end, stderr=end, start_new_session=True,
            env={**installation.environment, "TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(end)
        self.output_bytes = 0
        threading.Thread(target=self._discard_output, daemon=True).start()

    def _discard_output(self) -> None:
        try:
            while True:
                self.output_bytes += len(os.read(self._descriptor, 65536))
        except OSError:  # the terminal has ended
            return

    @property
    def mebibytes(self) -> float:
        return memory(self._process.pid) / 2**20

    def move(self, count: int) -> None:
        """Move the selection up and down between the tasks."""
        for number in range(count):
            os.write(self._descriptor, b"j" if number // (TASKS - 1) % 2 == 0 else b"k")
            time.sleep(MOVE_SECONDS)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._descriptor)


def measure(terminal: Terminal, minutes: float, table: Table) -> None:
    """Move between the tasks and print the growth of the memory."""
    terminal.move(WARM_UP_MOVES)
    before, output = terminal.mebibytes, terminal.output_bytes
    table.row("memory after the warm-up", before, "MiB")
    moves = int(minutes * MOVES_PER_MINUTE)
    terminal.move(moves)
    table.row("moves", moves, "")
    table.row("output", (terminal.output_bytes - output) / 1e6, "MB")
    table.row("memory growth", terminal.mebibytes - before, "MiB", GROWTH_LIMIT)


def main() -> int:
    """Measure and print the results; return the exit code."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 9.0
    folder = Path(tempfile.mkdtemp(prefix="keiji-bench-"))
    installation = Installation(folder)
    table = Table()
    try:
        for number in range(TASKS):
            installation.build(f"task{number}", PRINTS)
        installation.start()
        for number in range(TASKS):
            installation.ask(p.RunTask(task=f"task{number}"))
        terminal = Terminal(installation)
        try:
            time.sleep(3)  # until the first screen
            measure(terminal, minutes, table)
        finally:
            terminal.close()
    finally:
        installation.close()
        shutil.rmtree(folder, ignore_errors=True)
    return int(not table.is_within_limits)


if __name__ == "__main__":
    sys.exit(main())
