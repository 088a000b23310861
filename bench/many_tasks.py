"""The cost of ten thousand tasks to an engine: start-up time, idle CPU, memory.

Usage: python bench/many_tasks.py [TASKS]

Half of the tasks have intervals, the others times of day and crontab lines; none is due during the measurement. An
engine without tasks is measured for comparison. Exits with 1 if a limit is exceeded.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from keiji import cron, every, on
from keiji.paths import Paths
from keiji.policy import Policy
from keiji.records import Build
from keiji.schedule import Schedule, ScheduleContext
from keiji.settings import Settings, template
from keiji_engine.builds import hash_sources
from keiji_engine.storage.store import Store
from keiji_engine.storage.transactions import Transaction

START_LIMIT = 3.0  # seconds
IDLE_LIMIT = 1.0  # per cent of a core
IDLE_SECONDS = 60.0  # the watcher rechecks all tasks once in that time
_TICKS = os.sysconf("SC_CLK_TCK")


def schedules(now: datetime) -> list[Schedule]:
    """Return schedules that are not due within an hour of ``now``."""
    later = now + timedelta(hours=3)
    found: list[Schedule] = [
        every(5).hours,
        every(2).days,
        on.weekdays.at(f"{later:%H:%M}"),
        cron(f"{later.minute} {later.hour} * * *"),
    ]
    return [schedule.with_context(ScheduleContext(anchor=now)) for schedule in found]


def add_task(transaction: Transaction, *, slug: str, build: Build, now: datetime) -> None:
    """Record a task with its build."""
    transaction.tasks.create(slug, slug, "one of many", now)
    transaction.tasks.activate(slug, build, build.schedule, build.schedule.next_after(now), now=now)


def fill(paths: Paths, count: int) -> None:
    """Add ``count`` tasks, each with sources, a build and a schedule."""
    store = Store.open(Settings(), paths)
    now = datetime.now(UTC)
    kinds = schedules(now)
    for number in range(count):
        slug, schedule = f"task{number:05}", kinds[number % len(kinds)]
        folder = paths.source(slug)
        folder.mkdir()
        (folder / "function.py").write_text(f"def function():\n    print({number})\n")
        (folder / "schedule.py").write_text(
            f"from keiji import *\n\ndef schedule():\n    return {schedule.source_form()}\n"
        )
        build = Build(
            hash=f"{number:032x}",
            command=(sys.executable, "entry.py", "--run"),
            files=hash_sources(folder),
            schedule=schedule,
            policy=Policy(timeout=30),
            import_seconds=0.01,
            created_at=now,
        )
        store.write(partial(add_task, slug=slug, build=build, now=now))
    store.close()


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_until_idle(pid: int) -> float:
    """Wait until the background work after the start is done; return the CPU seconds that it took."""
    first = cpu(pid)
    for _ in range(60):
        before = cpu(pid)
        time.sleep(3)
        if cpu(pid) - before < 0.06:
            break
    return cpu(pid) - first


def measure(root: Path, count: int) -> tuple[float, float, float, int]:
    """Measure an engine with ``count`` tasks.

    Returns:
        Seconds until it is ready, CPU seconds of background work after that, percentage of a core while it is idle,
        and bytes of memory.
    """
    paths = Paths.under(root)
    paths.tasks.mkdir(parents=True)
    paths.settings.write_text(template("UTC"))
    paths.create_folders()
    fill(paths, count)
    environment = os.environ | {"KEIJI_ROOT": str(root)}
    environment.pop("KEIJI_WORKSPACE", None)
    started_at = time.perf_counter()
    engine = subprocess.Popen([sys.executable, "-m", "keiji_engine.main", "--quiet"], env=environment)
    try:
        while not paths.engine_info.exists():
            if engine.poll() is not None or time.perf_counter() - started_at > 60:
                raise SystemExit("the engine did not start")
            time.sleep(0.005)
        start = time.perf_counter() - started_at
        background = wait_until_idle(engine.pid) if count else 0.0
        before, idle_since = cpu(engine.pid), time.perf_counter()
        time.sleep(IDLE_SECONDS)
        idle = 100 * (cpu(engine.pid) - before) / (time.perf_counter() - idle_since)
        return start, background, idle, memory(engine.pid)
    finally:
        engine.send_signal(signal.SIGTERM)
        engine.wait(30)


def main() -> int:
    """Measure and print the results; return the exit code."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    is_exceeded = False
    print(f"{'tasks':>8} {'start':>9} {'then CPU':>9} {'idle':>9} {'memory':>9}")
    for number in (0, count):
        with tempfile.TemporaryDirectory(prefix="keiji-bench-") as root:
            start, background, idle, size = measure(Path(root), number)
        print(f"{number:>8} {start:>7.2f} s {background:>7.2f} s {idle:>7.2f} % {size / 2**20:>5.0f} MiB")
        is_exceeded = start > START_LIMIT or idle > IDLE_LIMIT
    print(f"limits: start {START_LIMIT:g} s, idle {IDLE_LIMIT:g} % of a core")
    return int(is_exceeded)


if __name__ == "__main__":
    sys.exit(main())
