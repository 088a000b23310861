"""Responsiveness of the terminal, headless and with the fake link of the tests.

Usage: python bench/terminal.py [tasks]

Measures the first paint of a new process with 300 tasks. Then, with ten thousand tasks, measures stalls during
scrolling, filtering, sorting, and 5,000 state changes per second. A stall is the longest time during which the
terminal could not have handled a key. "Own work" is the CPU time that it used itself, which is more meaningful on a
busy machine. Exits with 1 if a limit is exceeded.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent / "tests" / each) for each in ("", "tui")]

PAINT_TASKS, PAINTS, PAINT_LIMIT = 300, 5, 500.0
STALL_LIMIT = 100.0  # milliseconds, for everything that a user does
FLOOD_STALL_LIMIT, FRESH_LIMIT = 50.0, 200.0
UNCHANGED_LIMIT = 5.0
MAX_INSTANTS = 2000  # that the engine lists
CHANGES, FLOOD_SECONDS = 5000, 5.0
SIZE = (160, 50)


def many(count: int) -> list[Any]:
    """Return ``count`` tasks in all states, with histories."""
    from scenes import PAUSE, recent, task

    now, chance = datetime.now(UTC), random.Random(1)
    odd: list[dict[str, Any]] = [
        {"is_disabled": True}, {"pause": PAUSE}, {"is_error": True}, {"build": None},
        {"source_changes": ("function.py",)}, {"is_running": True, "running_since": now},
    ]  # fmt: skip
    return [
        task(
            f"task {number} of {number % 7}", slug=f"task_{number:05}",
            next_execution_time=now + timedelta(seconds=chance.randrange(86400)),
            recent=recent(*(chance.random() * 9 for _ in range(20)), ended=now),
            **(odd[number % len(odd)] if number % 9 == 0 else {}),
        )
        for number in range(count)
    ]  # fmt: skip


class StallMeter:
    """Measures the longest time, in milliseconds, during which the event loop was blocked."""

    def __init__(self) -> None:
        self.worst = self.work = 0.0

    async def run(self) -> None:
        while True:
            before, worked = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            self.worst = max(self.worst, (time.perf_counter() - before - 0.001) * 1000)
            self.work = max(self.work, (time.thread_time() - worked) * 1000)


@asynccontextmanager
async def terminal(count: int) -> AsyncIterator[tuple[Any, Any, Any]]:
    """Yield a terminal that shows ``count`` tasks, its link and its pilot."""
    from fake_link import FakeLink
    from scenes import snapshot
    from waiting import until

    from keiji_engine.bus.views import LinkChanged, LinkState
    from keiji_tui.app import ControlCenter

    link = FakeLink(snapshot(many(count)), LinkChanged(LinkState.LIVE))
    app = ControlCenter(link)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.is_ready and app.base_screen.selected_task)
        await pilot.pause()
        yield app, link, pilot


async def measure_stall(action: Callable[[], Awaitable[None]]) -> StallMeter:
    """Perform an action and return its stalls."""
    meter = StallMeter()
    metering = asyncio.create_task(meter.run())
    await action()
    await asyncio.sleep(0.2)
    metering.cancel()
    return meter


async def user_actions(count: int) -> AsyncIterator[tuple[str, StallMeter, float]]:
    """Yield the name, the stalls and the limit of each action of a user with many tasks."""
    from piloting import press

    async with terminal(count) as (_, _, pilot):
        actions = {
            "moving by rows": ["j"] * 60 + ["k"] * 30,
            "moving by half pages": ["ctrl+d"] * 40 + ["ctrl+u"] * 20,
            "first and last": ["G", "g"] * 10,
            "filtering": ["slash", *"task 99", "backspace", "backspace", *"12", "enter", "escape"],
            "sorting": ["S"] * 5 + ["I", "I"],
            "filtering by state": ["f"] * 7,
            "marking": ["space"] * 20 + ["escape"],
        }
        for name, keys in actions.items():
            yield name, await measure_stall(lambda keys=keys: press(pilot, *keys)), STALL_LIMIT  # type: ignore[misc]


async def unchanged_paint(count: int) -> float:
    """Return the CPU milliseconds of a paint of the next 24 hours if nothing has changed; most tasks are frequent."""
    from piloting import press
    from waiting import until

    from keiji_engine.bus.protocol import Timeline
    from keiji_engine.bus.views import DueInstant, FrequentTask

    async with terminal(count) as (app, link, pilot):
        now, slugs = datetime.now(UTC), list(app.store.tasks)
        times = [now + timedelta(seconds=40 * number + 30) for number in range(MAX_INSTANTS)]
        link.day = Timeline(
            id="day",
            until=now + timedelta(days=1),
            instants=tuple(DueInstant(task=slug, at=at, starts_at=at) for slug, at in zip(slugs, times, strict=False)),
            frequent_tasks=tuple(FrequentTask(task=slug, next_at=now) for slug in slugs[MAX_INSTANTS:]),
        )
        await press(pilot, "6")
        await until(pilot, lambda: app.base_screen.rows)
        await pilot.pause()
        screen, spent = app.base_screen, []
        for _ in range(PAINTS * 4):
            began = time.thread_time()
            screen.paint(screen.now)
            spent.append((time.thread_time() - began) * 1000)
    return median(spent)


async def flood(count: int, keys: tuple[str, ...]) -> tuple[StallMeter, float, float]:
    """Press ``keys``, then change states continuously.

    Returns:
        The stalls, the longest delay in milliseconds until a change was shown, and the changes per second.
    """
    import msgspec
    from piloting import press

    from keiji_engine.bus.protocol import TaskChanged

    chance, delays, sent = random.Random(2), [0.0], 0
    async with terminal(count) as (app, link, pilot):
        await press(pilot, *keys)
        table = app.tasks_screen.table
        watched_slug = table.selected
        others = [slug for slug in app.store.tasks if slug != watched_slug]

        def change(slug: str, **changes: Any) -> None:
            link.happen(TaskChanged(task=msgspec.structs.replace(app.store.tasks[slug], **changes)))

        async def probe() -> None:
            for number in range(int(FLOOD_SECONDS * 4)):
                error = f"{number} running"
                began = time.perf_counter()
                change(watched_slug, is_running=True, running=1000 + number, running_since=datetime.now(UTC))
                while f"{1000 + number} running" not in _painted(table, watched_slug):
                    await asyncio.sleep(0.002)
                    assert time.perf_counter() - began < 5, error
                delays.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(0.15)

        async def pour() -> None:
            nonlocal sent
            began = time.perf_counter()
            while (passed := time.perf_counter() - began) < FLOOD_SECONDS:
                for _ in range(min(200, int(passed * CHANGES) - sent)):
                    now, running = datetime.now(UTC), chance.random() < 0.5
                    change(
                        chance.choice(others),
                        is_running=running, running_since=now if running else None, is_error=chance.random() < 0.3,
                        next_execution_time=now + timedelta(seconds=chance.randrange(600)),
                    )  # fmt: skip
                    sent += 1
                await asyncio.sleep(0.005)

        async def both() -> None:
            pouring = asyncio.create_task(pour())
            await probe()
            await pouring

        began = time.perf_counter()
        stall = await measure_stall(both)
        spent = min(FLOOD_SECONDS, time.perf_counter() - began)
    return stall, max(delays), sent / spent


def _painted(table: Any, slug: str) -> str:
    place = table._index_of.get(slug, -1) - table.scroll_offset.y
    content, _ = table._painted.get(place, (None, ""))
    return content.plain if content is not None else ""


def paint() -> None:
    """Run a terminal until its first row is on the screen, print "painted", and exit."""
    from keiji_tui.cli import load_app

    center = load_app()
    from fake_link import FakeLink
    from scenes import snapshot

    import keiji_tui
    from keiji_engine.bus.views import LinkChanged, LinkState

    class Once(center):  # type: ignore[misc, valid-type]
        CSS_PATH = [Path(keiji_tui.__file__).parent / center.CSS_PATH]  # noqa: RUF012 - as Textual declares it

        def repaint(self) -> None:
            super().repaint()
            if self.store.tasks:
                self.call_after_refresh(self._report)

        def _report(self) -> None:
            if self.tasks_screen.table._painted:
                print("painted", flush=True)
                self.exit()
            else:
                self.call_after_refresh(self._report)

    Once(FakeLink(snapshot(many(PAINT_TASKS)), LinkChanged(LinkState.LIVE))).run(headless=True, size=SIZE)


def first_paint() -> float:
    """Return the milliseconds until a new process has painted its first rows."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, __file__, "--paint"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if "painted" in line:
                milliseconds = (time.perf_counter() - began) * 1000
                child.stdout.read()
                return milliseconds
    raise RuntimeError("the terminal exited before it painted a row")


def report(name: str, value: float, limit: float, work: float | None = None) -> bool:
    """Print a row of the table; return whether the value is within its limit."""
    is_within = value <= limit
    own = "" if work is None else f"own work {work:6.1f} ms"
    rating = "ok" if is_within else "TOO SLOW"
    print(f"{name:<44} {value:8.1f} ms   limit {limit:4.0f} ms   {rating:8} {own}".rstrip(), flush=True)
    return is_within


async def measure(count: int) -> bool:
    """Measure and print everything; return whether all values are within their limits."""
    busy = os.getloadavg()[0]
    print(f"load {busy:.1f} on {os.cpu_count()} cores" + ("; the results are unreliable" if busy > 1.5 else ""))
    first_paint()  # so that bytecode is compiled
    within = [report(f"first paint, {PAINT_TASKS} tasks", median(first_paint() for _ in range(PAINTS)), PAINT_LIMIT)]
    async for name, stall, limit in user_actions(count):
        within.append(report(f"stall: {name}, {count:,} tasks", stall.worst, limit, stall.work))
    paint_time = await unchanged_paint(count)
    within.append(report(f"unchanged paint, next 24 hours, {count:,} tasks", paint_time, UNCHANGED_LIMIT))
    for name, keys in (("sorted by name", ()), ("sorted by next run", ("S",)), ("running only", ("f",))):
        stall, delay, rate = await flood(count, keys)
        within.append(report(f"stall: {rate:,.0f} changes/s, {name}", stall.worst, FLOOD_STALL_LIMIT, stall.work))
        within.append(report(f"delay of a change, {name}", delay, FRESH_LIMIT))
    return all(within)


if __name__ == "__main__":
    if "--paint" in sys.argv:
        paint()
    else:
        sys.exit(0 if asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)) else 1)
