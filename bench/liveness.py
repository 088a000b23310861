"""Measure how soon clients see a change and notice the death of an engine: python bench/liveness.py

Two clients watch the engine, as terminals do, while directives are sent as the command line sends them. The exit code
is 1 if a limit is exceeded.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from keiji import engine_process, file_tree
from keiji.paths import Paths
from keiji.settings import template
from keiji_engine.bus import protocol as p
from keiji_engine.bus.client import Client
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_engine.client import facade

ROUNDS = 20
VISIBLE_LIMIT = 0.5  # seconds
DEATH_LIMIT = 2.0  # seconds


class WatchingClient:
    """A client that watches the engine and records when updates arrive."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.live = asyncio.Event()
        self.disabled: asyncio.Queue[tuple[bool, float]] = asyncio.Queue()
        self.offline: asyncio.Queue[float] = asyncio.Queue()
        self.task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        async with Client(self.paths, "bench") as client:
            async for update in client.watch():
                now = time.perf_counter()
                if isinstance(update, LinkChanged) and update.state == LinkState.LIVE:
                    self.live.set()
                elif isinstance(update, LinkChanged) and update.state == LinkState.OFFLINE:
                    self.offline.put_nowait(now)
                elif isinstance(update, p.Delta) and isinstance(update.event, p.TaskChanged):
                    self.disabled.put_nowait((update.event.task.is_disabled, now))


async def measure_visibility(clients: list[WatchingClient], paths: Paths) -> list[float]:
    """Return, for each round, the seconds from sending a directive until all clients saw its effect."""
    durations = []
    for number in range(ROUNDS):
        is_disabled = number % 2 == 0
        directive = p.Disable(task="ping") if is_disabled else p.Enable(task="ping")
        start = time.perf_counter()
        sending = asyncio.create_task(asyncio.to_thread(facade.ask, paths, directive))
        seen_at = []
        for client in clients:
            while (update := await client.disabled.get())[0] is not is_disabled:
                pass
            seen_at.append(update[1])
        await sending
        durations.append(max(seen_at) - start)
    return durations


async def measure_death(clients: list[WatchingClient], paths: Paths) -> float:
    """Kill the engine and return the seconds until all clients noticed."""
    info = engine_process.read_info(paths)
    assert info is not None
    start = time.perf_counter()
    os.kill(info.pid, signal.SIGKILL)
    return max([await client.offline.get() for client in clients]) - start


async def measure(paths: Paths) -> tuple[list[float], float]:
    clients = [WatchingClient(paths), WatchingClient(paths)]
    for client in clients:
        await client.live.wait()
    result = await measure_visibility(clients, paths), await measure_death(clients, paths)
    for client in clients:
        client.task.cancel()
    await asyncio.gather(*(client.task for client in clients), return_exceptions=True)
    return result


def main() -> int:
    """Measure and print the results; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="keiji-bench-") as root:
        paths = Paths.under(Path(root))
        paths.tasks.mkdir(parents=True)
        paths.settings.write_text(template("UTC"))
        facade.ask(paths, p.Create(name="ping"))
        facade.ask(paths, p.BuildTask(task="ping"))
        environment = os.environ | engine_process.environment_for(paths)
        with subprocess.Popen(
            [sys.executable, "-m", "keiji_engine.main"], env=environment, stderr=subprocess.DEVNULL
        ) as engine:
            while (info := engine_process.read_info(paths)) is None or info.pid != engine.pid:
                time.sleep(0.01)
            durations, death = asyncio.run(measure(paths))
        file_tree.remove(paths.builds)
    worst = max(durations)
    print(f"a directive is seen by two clients   median {statistics.median(durations) * 1000:6.1f} ms   ", end="")
    print(f"worst {worst * 1000:6.1f} ms   limit {VISIBLE_LIMIT * 1000:.0f} ms")
    print(f"kill -9 of the engine is noticed after {death * 1000:6.1f} ms   limit {DEATH_LIMIT * 1000:.0f} ms")
    return int(worst > VISIBLE_LIMIT or death > DEATH_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
