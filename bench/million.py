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


async def simulate(folder: Path, minutes: int) -> tuple[list[float], int, float]:
    """Run the simulation; return the memory after each tenth, the number of rows, and the seconds that it took."""
    simulation = Simulation(
        folder,
        tasks=TASKS,
        seed=1,
        schedule=lambda _: every(1).minutes,
        policy=Policy,
        durations=(241.0,),
    )
    try:
        await simulation.boot()
        samples = []
        start = time.perf_counter()
        for tenth in range(1, 11):
            await simulation.run_undisturbed(BEGIN + timedelta(minutes=minutes * tenth / 10))
            simulation.forget()
            samples.append(memory())
            print(f"{TASKS * minutes * tenth // 10:>9} occurrences  {samples[-1]:>6.1f} MiB", flush=True)
        seconds = time.perf_counter() - start
        return samples, sum(run.count for slug in simulation.expected for run in simulation.rows(slug)), seconds
    finally:
        await simulation.close()


def main() -> int:
    """Run the simulation and print the results; return the exit code."""
    folder = tempfile.mkdtemp(prefix="keiji-bench-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    try:
        samples, rows, seconds = asyncio.run(simulate(Path(folder), OCCURRENCES // TASKS))
    finally:
        shutil.rmtree(folder)
    print(f"{rows} rows, {rows / seconds:,.0f} per second; growth limit: {GROWTH_LIMIT:g} MiB after the first tenth")
    return int(samples[-1] - samples[0] > GROWTH_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
