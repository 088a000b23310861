"""Bursts of 100 runs through the runner, beside a bare loop that spawns the same program and records nothing.

python bench/runner.py [bursts]
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
    )


async def runner(root: Path, bursts: int) -> list[float]:
    """Return the seconds from the request of a burst until its last result has come and is forgotten."""
    results: asyncio.Queue[RunStarted | RunResult] = asyncio.Queue()
    runner = Runner(root / "run" / "runs", results.put_nowait)
    await runner.start(())
    took = []
    for burst in range(bursts + 1):
        began = time.perf_counter()
        await runner.launch([spec(root, f"{burst}-{number}") for number in range(BURST)])
        left = BURST
        while left:
            event = await results.get()
            if isinstance(event, RunResult):
                assert event.exit_code == 0, event
                runner.forget(event.run_id)
                left -= 1
        took.append(time.perf_counter() - began)
    await runner.stop()
    return took[1:]  # the first one warms up


def bare(bursts: int) -> list[float]:
    """Return the seconds of a loop that starts the program so many times, then waits for each."""
    took = []
    for _ in range(bursts + 1):
        began = time.perf_counter()
        processes = [
            subprocess.Popen([PROGRAM], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for _ in range(BURST)
        ]
        for process in processes:
            process.wait()
        took.append(time.perf_counter() - began)
    return took[1:]


def main() -> None:
    bursts = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    shared = Path("/dev/shm")  # run files are on a tmpfs where there is one
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        ours = statistics.median(asyncio.run(runner(Path(folder), bursts)))
    theirs = statistics.median(bare(bursts))
    print(f"runner           {BURST / ours:7.0f} runs/s   {ours * 1000:6.0f} ms per burst of {BURST}")
    print(f"bare Popen loop  {BURST / theirs:7.0f} runs/s   {theirs * 1000:6.0f} ms per burst of {BURST}")
    print(f"ratio            {theirs / ours:7.2f}")


if __name__ == "__main__":
    main()
