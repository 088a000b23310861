"""Throughput of the runner in bursts of 100 runs, compared with a bare loop that starts the same program.

It is measured with run files in the current folder, as an installation has them on its disk, and on a tmpfs.

Usage: python bench/runner.py [bursts]
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from keiji.records import RunResult
from keiji_engine.runner.runner import Runner, RunStarted
from keiji_engine.runner.spec import RunSpec

BURST = 100
PROGRAM = "/bin/true"


def spec(root: Path, run_id: str) -> RunSpec:
    return RunSpec(
        run_id=run_id,
        task="bench",
        command=(PROGRAM,),
        environment={"PATH": "/usr/bin:/bin"},
        directory=str(root / "work"),
        log_path=str(root / "bench.log"),
        log_limit=None,
        zone="UTC",
        timeout=60.0,
        stop_grace=1.0,
        leave="nothing",
        reports_failure=False,
    )


async def measure_runner(root: Path, bursts: int) -> list[float]:
    """Return, for each burst, the seconds from its launch until its last result has arrived and is forgotten."""
    events: asyncio.Queue[RunStarted | RunResult] = asyncio.Queue()
    runner = Runner(root / "run" / "runs", events.put_nowait)
    await runner.start(())
    seconds = []
    for burst in range(bursts + 1):
        start = time.perf_counter()
        await runner.launch([spec(root, f"{burst}-{number}") for number in range(BURST)])
        remaining = BURST
        while remaining:
            event = await events.get()
            if isinstance(event, RunResult):
                assert event.exit_code == 0, event
                runner.remove_run_files(event.run_id)
                remaining -= 1
        seconds.append(time.perf_counter() - start)
    await runner.stop()
    return seconds[1:]  # the first burst is a warm-up


def measure_bare(bursts: int) -> list[float]:
    """Return, for each burst, the seconds to start the program `BURST` times and wait for all of them."""
    seconds = []
    for _ in range(bursts + 1):
        start = time.perf_counter()
        processes = [
            subprocess.Popen([PROGRAM], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for _ in range(BURST)
        ]
        for process in processes:
            process.wait()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main() -> None:
    bursts = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    folders = {"run files on disk": Path.cwd(), "run files on tmpfs": Path("/dev/shm")}
    bare = statistics.median(measure_bare(bursts))
    _print("bare Popen loop", bare, bare)
    for name, parent in folders.items():
        if parent.is_dir():
            with tempfile.TemporaryDirectory(dir=parent) as folder:
                _print(name, statistics.median(asyncio.run(measure_runner(Path(folder), bursts))), bare)


def _print(name: str, seconds: float, bare: float) -> None:
    rate, ratio = BURST / seconds, bare / seconds
    print(f"{name:20}{rate:7.0f} runs/s   {seconds * 1000:6.0f} ms per burst of {BURST}   ratio {ratio:5.2f}")


if __name__ == "__main__":
    main()
