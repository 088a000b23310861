"""A year of a thousand tasks in virtual time, and the memory that it takes.

Usage: python bench/year.py [TASKS] [DAYS]

Planner, database, state and handlers are those of the engine; runs and the clock are simulated. Engines stop and crash,
the machine is suspended, the clock is set. Exits with 1 if an instant has no row or two, ran twice, or was missing from
a preview.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from simulated import BEGIN, Simulation

SAMPLES = 10


def memory() -> float:
    """Return the resident memory of this process, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def simulate(folder: Path, tasks: int, days: float) -> tuple[Simulation, int]:
    """Run the simulation, with samples of the memory; return it and the number of due instants."""
    simulation = Simulation(folder, tasks=tasks, seed=1, limit=200)
    sample_times = [BEGIN + timedelta(days=days * number / SAMPLES) for number in range(1, SAMPLES + 1)]

    def print_sample() -> None:
        if sample_times and simulation.now >= sample_times[0]:
            sample_times.pop(0)
            runs = sum(simulation.launched.values())
            print(f"{simulation.now:%Y-%m-%d}  {runs:>8} runs  {memory():>6.0f} MiB", flush=True)

    try:
        await simulation.run(BEGIN + timedelta(days=days), on_progress=print_sample)
        return simulation, simulation.check()
    finally:
        await simulation.close()


def main() -> int:
    """Simulate and print the results; return the exit code."""
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    days = float(sys.argv[2]) if len(sys.argv) > 2 else 365
    folder = tempfile.mkdtemp(prefix="keiji-bench-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    start = time.perf_counter()
    try:
        simulation, count = asyncio.run(simulate(Path(folder), tasks, days))
    except AssertionError as error:
        print(f"not accounted for: {error}")
        return 1
    finally:
        shutil.rmtree(folder)
    print(", ".join(f"{kind} {number}" for kind, number in sorted(simulation.events.items())))
    print(f"{count} due instants of {tasks} tasks, each with its row, none run twice")
    print(f"{simulation.previews_confirmed} previewed instants came true; {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
