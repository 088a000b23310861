"""Responsiveness of the terminal with a long log, on a real engine.

Usage: python bench/terminal_logs.py [megabytes, default 200]

Measures opening the log at its end, scrolling up, going to its beginning, searching for text that is only there, and
filtering; then key presses while a run prints a million lines. Exits with 1 if a limit is exceeded.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "tui"))

from installation import Installation
from piloting import press, settle
from textual.pilot import Pilot
from textual.widgets import Input
from year import memory

from keiji_engine.bus import protocol as p
from keiji_tui.app import ControlCenter
from keiji_tui.engine.bus_link import BusLink
from keiji_tui.logs.prompt import LogPrompt
from keiji_tui.logs.view import LogView

OPEN_LIMIT = 0.5  # seconds until the end of the log is on the screen
MOVE_LIMIT = 0.25  # seconds until another part of the log is
KEY_LIMIT = 0.1  # seconds to handle a key during the flood, 99th percentile
GROWTH_LIMIT = 30.0  # MiB
FLOOD_LINES = 1_000_000
FLOOD = f"def function():\n    for number in range({FLOOD_LINES}):\n        print('the flood', number, 'x' * 40)\n"
TIMEOUT = 900.0
_BLOCK = 64 * 1024 * 1024


class Table:
    """Prints the results, one per line, and remembers whether all are within their limits."""

    def __init__(self) -> None:
        self.is_within_limits = True

    def row(self, name: str, value: float, unit: str, limit: float | None = None) -> None:
        """Export a result."""
        is_within = limit is None or value <= limit
        self.is_within_limits &= is_within
        rating = "" if limit is None else f"limit {limit:g}" + ("" if is_within else "  EXCEEDED")
        print(f"{name:38}{value:>10.3f} {unit:4} {rating}", flush=True)


def write_log(path: Path, megabytes: int) -> None:
    """Write a log of that size. The word "Needle" is only in its first line."""
    path.parent.mkdir(parents=True)
    head = "time=2026-11-24T13:31:57.164+03:00 level=INFO run=0123456789abcdef0123456789abcdef msg="
    lines = [f'{head}"GET /orders/{number:09} 200 in 12 ms, of many"\n' for number in range(_BLOCK // 135)]
    block = "".join(lines).encode()
    with path.open("wb") as file:
        file.write(f'{head}"the Needle"\n'.encode())
        while file.tell() < megabytes * 1024**2:
            file.write(block)


async def until(condition: Callable[[], object]) -> float:
    """Wait until the condition holds; return how many seconds that took."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > TIMEOUT:
            raise TimeoutError
        await asyncio.sleep(0.002)
    return time.perf_counter() - began


async def enter(pilot: Pilot[None], app: ControlCenter, key: str, text: str) -> None:
    """Enter text into the prompt that a key opens."""
    await press(pilot, key)
    await until(lambda: app.screen.query_one(LogPrompt).is_open)
    app.screen.query_one(LogPrompt).query_one(Input).value = text
    await press(pilot, "enter")


async def measure(installation: Installation, table: Table) -> None:
    """Measure reading, searching and filtering the log."""
    app = ControlCenter(BusLink(installation.paths), task="big")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: app.store.tasks and app.tasks_screen.table.selected == "big")
        pane = app.tasks_screen.log_pane
        view: LogView = pane.view
        table.row("open at the end", await until(lambda: view.visible_lines), "s", OPEN_LIMIT)
        await press(pilot, "l")
        await settle(pilot)
        before = memory()
        slowest = 0.0
        for _ in range(50):
            top = view.top
            began = time.perf_counter()
            await press(pilot, "ctrl+u")
            await until(lambda top=top: view.top < top)
            slowest = max(slowest, time.perf_counter() - began)
        table.row("scroll half a page up, slowest of 50", slowest, "s", MOVE_LIMIT)
        began = time.perf_counter()
        await press(pilot, "g")
        await until(lambda: view.visible_lines and view.top == 0)
        table.row("go to the oldest line", time.perf_counter() - began, "s", MOVE_LIMIT)
        began = time.perf_counter()
        await press(pilot, "G")
        await until(lambda: view.following and view.bottom == pane.reader.buffer.size)
        table.row("go back to the end", time.perf_counter() - began, "s", MOVE_LIMIT)
        for name, pattern in (("search the log for a word", "Needle"), ("search it for an expression", "N[e]+dle")):
            began = time.perf_counter()
            await enter(pilot, app, "slash", pattern)
            pressed, slowest = 0, 0.0
            while not (view.current == 0 and view.is_current_visible):
                key_began = time.perf_counter()
                await press(pilot, "k" if pressed % 2 else "j")
                slowest, pressed = max(slowest, time.perf_counter() - key_began), pressed + 1
                await asyncio.sleep(0.1)
            took = time.perf_counter() - began
            table.row(name, took, "s")
            table.row("  megabytes per second", pane.reader.buffer.size / took / 1e6, "")
            table.row("  slowest key in the meantime", slowest, "s", KEY_LIMIT)
            await press(pilot, "escape", "G")
        began = time.perf_counter()
        await enter(pilot, app, "ampersand", "needle")
        await until(lambda: len(pane.reader.buffer) == 1)
        table.row("filter the log", time.perf_counter() - began, "s")
        await press(pilot, "escape")
        await until(lambda: view.following and len(pane.reader.buffer) > 1)
        table.row("memory before", before, "MiB")
        table.row("memory growth", memory() - before, "MiB", GROWTH_LIMIT)


async def flood(installation: Installation, table: Table) -> None:
    """Press keys while a run prints a million lines."""
    link = BusLink(installation.paths)
    app = ControlCenter(link, task="flood")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: app.store.tasks and app.tasks_screen.table.selected == "flood")
        view = app.tasks_screen.log_pane.view
        await press(pilot, "l")
        await asyncio.sleep(0.5)
        before = peak = memory()
        await asyncio.to_thread(installation.ask, p.RunTask(task="flood"))
        took: list[float] = []
        began = time.perf_counter()
        keys = ["k", "j", "ctrl+u", "f", "w", "w", "t", "G"]
        while not await has_ended(link) or len(took) < 200:
            key_began = time.perf_counter()
            await press(pilot, keys[len(took) % len(keys)])
            took.append(time.perf_counter() - key_began)
            peak = max(peak, memory())
            await asyncio.sleep(0.01)
        lasted = time.perf_counter() - began
        await press(pilot, "f")
        await until(lambda: view.following and "run succeeded" in view.visible_lines[-1].raw)
        took.sort()
        table.row("flood: duration", lasted, "s")
        table.row("flood: keys pressed", len(took), "")
        table.row("flood: key, 99th percentile", took[len(took) * 99 // 100], "s", KEY_LIMIT)
        table.row("flood: slowest key", took[-1], "s")
        table.row("flood: peak memory growth", peak - before, "MiB", GROWTH_LIMIT)


async def has_ended(link: BusLink) -> bool:
    """Return whether the printing run has ended."""
    return any(run.finished_at is not None for run in await link.runs("flood", 5))


def main() -> int:
    """Measure and print the results; return the exit code."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    folder = Path(tempfile.mkdtemp(prefix="keiji-bench-"))
    os.environ["KEIJI_ROOT"] = str(folder)
    installation = Installation(folder)
    installation.write_settings(ROTATE_LOGS="0")
    table = Table()
    try:
        installation.build("big")
        installation.build("flood", FLOOD)
        log = installation.paths.task_log("big")
        shutil.rmtree(log.parent, ignore_errors=True)
        write_log(log, megabytes)
        print(f"a log of {log.stat().st_size / 1e6:,.0f} MB", flush=True)
        installation.start()
        asyncio.run(measure(installation, table))
        asyncio.run(flood(installation, table))
    finally:
        installation.close()
        shutil.rmtree(folder, ignore_errors=True)
    return int(not table.is_within_limits)


if __name__ == "__main__":
    sys.exit(main())
