"""What ten thousand tasks cost an engine: its start, its idling, its memory: python bench/many_tasks.py [TASKS]

Half of them count intervals, the others go by times of day and crontab lines; none is due while it is measured. Beside
it an engine without a task, in the same run. Ends with 1 where a limit is passed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keiji import cron, every, on
from keiji.paths import Paths
from keiji.policy import Policy
from keiji.records import Build
from keiji.schedule import Schedule, ScheduleContext
from keiji.settings import Settings, template
from keiji_engine.builds import hash_sources
from keiji_engine.storage.store import Store

START_LIMIT = 3.0  # seconds
IDLE_LIMIT = 1.0  # per cent of a core
IDLE_SECONDS = 60.0  # the watcher looks at everything once in that time
_TICKS = os.sysconf("SC_CLK_TCK")


def schedules(now: datetime) -> list[Schedule]:
    """Return schedules that are not due before an hour from ``now``."""
    later = now + timedelta(hours=3)
    found: list[Schedule] = [
        every(5).hours,
        every(2).days,
        on.weekdays.at(f"{later:%H:%M}"),
        cron(f"{later.minute} {later.hour} * * *"),
    ]
    return [schedule.with_context(ScheduleContext(anchor=now)) for schedule in found]


def fill(paths: Paths, count: int) -> None:
    """Register so many tasks, each with a build, a day of history and a schedule."""
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
        store.create_task(slug, slug, "one of many", now)
        build = Build(
            hash=f"{number:032x}",
            command=(sys.executable, "entry.py", "--run"),
            files=hash_sources(folder),
            schedule=schedule,
            policy=Policy(timeout=30),
            import_seconds=0.01,
            created_at=now,
        )
        store.activate(slug, build, schedule, schedule.next_after(now), now=now)
    store.close()


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_until_calm(pid: int) -> float:
    """Wait until what a start leaves to be done in the background is done; return the seconds of CPU that took."""
    spent = cpu(pid)
    for _ in range(60):
        before = cpu(pid)
        time.sleep(3)
        if cpu(pid) - before < 0.06:
            break
    return cpu(pid) - spent


def measured(root: Path, count: int) -> tuple[float, float, float, int]:
    """Return an engine's seconds to start, of CPU after that, per cent of a core while idle, and bytes of memory."""
    paths = Paths.under(root)
    paths.tasks.mkdir(parents=True)
    paths.settings.write_text(template("UTC"))
    paths.create_folders()
    fill(paths, count)
    environment = os.environ | {"KEIJI_ROOT": str(root)}
    environment.pop("KEIJI_WORKSPACE", None)
    began = time.perf_counter()
    engine = subprocess.Popen([sys.executable, "-m", "keiji_engine.main", "--quiet"], env=environment)
    try:
        while not paths.engine_info.exists():
            if engine.poll() is not None or time.perf_counter() - began > 60:
                raise SystemExit("the engine did not start")
            time.sleep(0.005)
        start = time.perf_counter() - began
        settled = wait_until_calm(engine.pid) if count else 0.0
        before, began = cpu(engine.pid), time.perf_counter()
        time.sleep(IDLE_SECONDS)
        idle = 100 * (cpu(engine.pid) - before) / (time.perf_counter() - began)
        return start, settled, idle, memory(engine.pid)
    finally:
        engine.send_signal(signal.SIGTERM)
        engine.wait(30)


def main() -> int:
    """Measure and print; return the exit code."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    passed = False
    print(f"{'tasks':>8} {'start':>9} {'then CPU':>9} {'idle':>9} {'memory':>9}")
    for number in (0, count):
        with tempfile.TemporaryDirectory(prefix="keiji-bench-") as root:
            start, settled, idle, size = measured(Path(root), number)
        print(f"{number:>8} {start:>7.2f} s {settled:>7.2f} s {idle:>7.2f} % {size / 2**20:>5.0f} MiB")
        passed = start > START_LIMIT or idle > IDLE_LIMIT
    print(f"limits: start {START_LIMIT:g} s, idle {IDLE_LIMIT:g} % of a core")
    return int(passed)


if __name__ == "__main__":
    sys.exit(main())
