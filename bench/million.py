"""Throughput and memory growth of the scheduler over a million occurrences.

Usage: python bench/million.py

A thousand tasks are due every minute and their runs take four minutes, so most occurrences are skipped: claimed,
explained and recorded in a real database. Exits with 1 if memory has grown between the first tenth and the last one.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from keiji import Policy, every

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from simulated import BEGIN, Simulation
from year import memory

TASKS = 1000
OCCURRENCES = 1_000_000
GROWTH_LIMIT = 5.0  # MiB; keeping a tenth of a million rows in memory would take twenty times as much


def main() -> int:
    """Run the simulation and print the results; return the exit code."""
    folder = tempfile.mkdtemp(prefix="keiji-bench-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    minutes = OCCURRENCES // TASKS
    try:
        simulation = Simulation(
            Path(folder),
            tasks=TASKS,
            seed=1,
            schedule=lambda _: every(1).minutes,
            policy=Policy,
            durations=(241.0,),
        )
        asyncio.run(simulation.boot())
        samples = []
        start = time.perf_counter()
        for tenth in range(1, 11):
            asyncio.run(simulation.pass_time(BEGIN + timedelta(minutes=minutes * tenth / 10)))
            simulation.forget()
            samples.append(memory())
            print(f"{TASKS * minutes * tenth // 10:>9} occurrences  {samples[-1]:>6.1f} MiB", flush=True)
        seconds = time.perf_counter() - start
        rows = sum(run.count for slug in simulation.tallies for run in simulation.store.runs(slug, 10**6))
    finally:
        shutil.rmtree(folder)
    print(f"{rows} rows, {rows / seconds:,.0f} per second; growth limit: {GROWTH_LIMIT:g} MiB after the first tenth")
    return int(samples[-1] - samples[0] > GROWTH_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
