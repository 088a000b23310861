"""A year of a thousand tasks in a fake time, and what it does to memory: python bench/year.py [TASKS] [DAYS]

The planner, the store and the directives are the engine's own; runs and the clock are not. Engines stop and crash, the
machine sleeps, the clock is set. Ends with 1 where an instant has no row, has two, ran twice, or was not foreseen.
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

PLACES = 10  # of the year, at which memory is looked at


def memory() -> float:
    """Return this process's resident memory, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    """Simulate and print; return the exit code."""
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    days = float(sys.argv[2]) if len(sys.argv) > 2 else 365
    folder = tempfile.mkdtemp(prefix="keiji-bench-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    began = time.perf_counter()
    try:
        simulation = Simulation(Path(folder), tasks=tasks, seed=1, limit=200)
        left = [BEGIN + timedelta(days=days * place / PLACES) for place in range(1, PLACES + 1)]

        def told() -> None:
            if left and simulation.now >= left[0]:
                left.pop(0)
                print(
                    f"{simulation.now:%Y-%m-%d}  {sum(simulation.launched.values()):>8} runs  {memory():>6.0f} MiB",
                    flush=True,
                )

        asyncio.run(simulation.run(BEGIN + timedelta(days=days), told=told))
        count = simulation.check()
    except AssertionError as error:
        print(f"not accounted for: {error}")
        return 1
    finally:
        shutil.rmtree(folder)
    print(", ".join(f"{what} {times}" for what, times in sorted(simulation.seen.items())))
    print(f"{count} instants were due to {tasks} tasks, each with its row, none run twice")
    print(f"{simulation.foreseen_right} were foreseen, and came; {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
