"""How soon everybody sees a change, and how soon an engine's death is noticed: python bench/liveness.py

Two watching clients, as two terminals are, and directives as the command line sends them. Ends with 1 where a limit is
passed.
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

from keiji import engine_process
from keiji.paths import Paths
from keiji.settings import template
from keiji_engine.bus import protocol as p
from keiji_engine.bus.client import Client
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_engine.client import facade

ROUNDS = 20
SEEN_LIMIT = 0.5
DEATH_LIMIT = 2.0


class Terminal:
    """A client that watches, and notes when it learned what."""

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


async def seen(terminals: list[Terminal], paths: Paths) -> list[float]:
    """Return how long after a command was begun the later of the terminals knew what it did, for each round."""
    took = []
    for number in range(ROUNDS):
        wanted = number % 2 == 0
        directive = p.Disable(task="ping") if wanted else p.Enable(task="ping")
        began = time.perf_counter()
        asking = asyncio.create_task(asyncio.to_thread(facade.ask, paths, directive))
        ends = []
        for terminal in terminals:
            while (known := await terminal.disabled.get())[0] is not wanted:
                pass
            ends.append(known[1])
        await asking
        took.append(max(ends) - began)
    return took


async def deaths(terminals: list[Terminal], paths: Paths) -> float:
    """Kill the engine and return how long it took until the later of the terminals knew."""
    note = engine_process.read_info(paths)
    assert note is not None
    began = time.perf_counter()
    os.kill(note.pid, signal.SIGKILL)
    return max([await terminal.offline.get() for terminal in terminals]) - began


async def measure(paths: Paths) -> tuple[list[float], float]:
    terminals = [Terminal(paths), Terminal(paths)]
    for terminal in terminals:
        await terminal.live.wait()
    result = await seen(terminals, paths), await deaths(terminals, paths)
    for terminal in terminals:
        terminal.task.cancel()
    await asyncio.gather(*(terminal.task for terminal in terminals), return_exceptions=True)
    return result


def main() -> int:
    """Measure and print; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="keiji-bench-") as root:
        paths = Paths.under(Path(root))
        paths.tasks.mkdir(parents=True)
        paths.settings.write_text(template("UTC"))
        facade.ask(paths, p.Create(name="ping"))
        facade.ask(paths, p.BuildTask(task="ping"))
        environment = os.environ | engine_process.environment_of(paths)
        with subprocess.Popen(
            [sys.executable, "-m", "keiji_engine.main"], env=environment, stderr=subprocess.DEVNULL
        ) as engine:
            while (note := engine_process.read_info(paths)) is None or note.pid != engine.pid:
                time.sleep(0.01)
            took, death = asyncio.run(measure(paths))
        for folder in paths.builds.glob("**"):
            folder.chmod(0o700)  # builds are read-only, and so are their folders
    worst = max(took)
    print(f"a directive, seen by two terminals   median {statistics.median(took) * 1000:6.1f} ms   ", end="")
    print(f"worst {worst * 1000:6.1f} ms   limit {SEEN_LIMIT * 1000:.0f} ms")
    print(f"kill -9 of the engine, noticed after {death * 1000:6.1f} ms   limit {DEATH_LIMIT * 1000:.0f} ms")
    return int(worst > SEEN_LIMIT or death > DEATH_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
