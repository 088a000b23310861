"""The cost of a run to a busy engine, with and without a backlog, and the throughput of one that is overloaded.

Usage: python bench/load.py [SECONDS]

The tasks execute a tiny program, so that most of the work is the engine's. First, 100 of them are due each second,
which an engine can keep up with: once without a backlog, and once beside 2,000 runs that are queued for later or held
back. Then 200 are due each second. Exits with 1 if a run costs more beside the backlog.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from many_tasks import cpu, memory

from keiji import every
from keiji.paths import Paths
from keiji.policy import Policy
from keiji.records import Build, Claim, Pause
from keiji.schedule import ScheduleContext
from keiji.settings import Settings, template
from keiji.states import RunState
from keiji_engine.storage.store import Store
from keiji_engine.storage.transactions import Transaction

PERIOD = 10  # seconds between two instants of a task
SUSTAINED, OVERLOAD = 100, 200  # tasks that are due each second
BACKLOG = 2000
COST_LIMIT = 1.25  # the cost of a run beside the backlog, as a multiple of that without one
SETTLE = 8  # seconds until the first instants are handled
PROGRAM = ("/usr/bin/env", "true")


@dataclass
class Figures:
    """What was measured: runs that ended, the CPU seconds of the engine, the seconds that it took, bytes of memory."""

    runs: int
    cpu: float
    seconds: float
    memory: int

    @property
    def cost(self) -> float:
        """Milliseconds of the engine's CPU per run."""
        return 1000 * self.cpu / max(self.runs, 1)

    def __str__(self) -> str:
        rate = self.runs / self.seconds
        return f"{rate:>7.1f} /s {self.cost:>8.2f} ms {self.memory / 2**20:>6.0f} MiB"


def add_task(transaction: Transaction, *, slug: str, anchor: datetime, now: datetime) -> None:
    """Record a task that is due every `PERIOD` seconds, counted from ``anchor``."""
    schedule = every(PERIOD).seconds.with_context(ScheduleContext(anchor=anchor))
    build = Build(
        hash="b" * 32, command=PROGRAM, files={}, schedule=schedule, policy=Policy(), import_seconds=0, created_at=now
    )  # fmt: skip
    transaction.tasks.create(slug, slug, "one of many", now)
    transaction.tasks.activate(slug, build, schedule, schedule.next_after(now), now=now)


def add_waiting(transaction: Transaction, *, slug: str, number: int, now: datetime) -> None:
    """Queue a run of a task that is due in an hour, or is held back by a pause."""
    is_held = number % 2 == 0
    due_at = now - timedelta(seconds=1) if is_held else now + timedelta(hours=1)
    claim = Claim(
        task=slug, scheduled_for=now, next_at=now + timedelta(days=1), state=RunState.QUEUED, build="b" * 32,
        due_at=due_at,
    )  # fmt: skip
    transaction.runs.claim([claim], now)
    if is_held:
        transaction.tasks.set_pause(slug, Pause(since=now))


def fill(paths: Paths, rate: int, backlog: int) -> None:
    """Add the tasks, spread over the period, and others that are not due, of which ``backlog`` have a queued run."""
    store = Store.open(Settings(), paths)
    now = datetime.now(UTC)
    count = rate * PERIOD
    slugs = [f"task{number:05}" for number in range(count)]
    waiting = [f"waits{number:05}" for number in range(BACKLOG)]
    for slug in (*slugs, *waiting):
        paths.source(slug).mkdir()
    store.write(
        *(
            partial(add_task, slug=slug, anchor=now - timedelta(seconds=PERIOD * number / count), now=now)
            for number, slug in enumerate(slugs)
        ),
        *(partial(add_task, slug=slug, anchor=now + timedelta(days=1), now=now) for slug in waiting),
        *(partial(add_waiting, slug=slug, number=number, now=now) for number, slug in enumerate(waiting[:backlog])),
    )
    store.close()


@contextmanager
def engine(root: Path) -> Iterator[int]:
    """Run an engine and yield its pid."""
    environment = os.environ | {"KEIJI_ROOT": str(root)}
    environment.pop("KEIJI_WORKSPACE", None)
    process = subprocess.Popen([sys.executable, "-m", "keiji_engine.main", "--quiet"], env=environment)
    try:
        until = time.monotonic() + 60
        while not Paths.under(root).engine_info.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the engine did not start")
            time.sleep(0.005)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def ended(paths: Paths) -> int:
    """Return the number of runs that have succeeded."""
    with closing(sqlite3.connect(paths.database)) as database:
        [count] = database.execute("SELECT count(*) FROM runs WHERE state = 'succeeded'").fetchone()
    return int(count)


def measure(rate: int, backlog: int, seconds: float) -> Figures:
    """Measure an engine with ``rate`` tasks due each second beside ``backlog`` queued runs."""
    with tempfile.TemporaryDirectory(prefix="keiji-bench-") as root:
        paths = Paths.under(Path(root))
        paths.tasks.mkdir(parents=True)
        paths.settings.write_text(template("UTC"))
        paths.create_folders()
        fill(paths, rate, backlog)
        with engine(Path(root)) as pid:
            time.sleep(SETTLE)
            before, used, began = ended(paths), cpu(pid), time.perf_counter()
            time.sleep(seconds)
            took = time.perf_counter() - began
            return Figures(ended(paths) - before, cpu(pid) - used, took, memory(pid))


def main() -> int:
    """Measure and print the results; return the exit code."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    print(f"{'due':>8} {'backlog':>8} {'runs':>10} {'cost':>11} {'memory':>10}")
    measured = {}
    for rate, backlog in ((SUSTAINED, 0), (SUSTAINED, BACKLOG), (OVERLOAD, 0)):
        measured[rate, backlog] = figures = measure(rate, backlog, seconds)
        print(f"{rate:>6} /s {backlog:>8} {figures}", flush=True)
    ratio = measured[SUSTAINED, BACKLOG].cost / measured[SUSTAINED, 0].cost
    print(f"a run costs {ratio:.2f} times as much beside the backlog; limit: {COST_LIMIT:g}")
    return int(ratio > COST_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
