"""A real runner in a folder of its own, with methods to observe its runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keiji.log_reader import LogReader
from keiji.records import RunResult
from keiji_engine.logs.line_format import LogLine, parse_line
from keiji_engine.runner import adopt, run_folder
from keiji_engine.runner.runner import Runner, RunStarted
from keiji_engine.runner.spec import RunSpec

TIMEOUT = 15.0


class RunnerHarness:
    """Collects the events of a runner and waits for them.

    Args:
        restore_timeout: seconds after which a run without a run file is lost; a shim checks for its file each second.
    """

    def __init__(
        self,
        root: Path,
        open_pidfd: Callable[[int], int | None] = adopt.open_pidfd,
        *,
        restore_timeout: float = 0.1,
    ) -> None:
        self.root = root
        self.run_files = root / "run" / "runs"
        self.log = root / "logs" / "t.log"
        self.events: list[RunStarted | RunResult] = []
        self.runner = Runner(self.run_files, self.events.append, open_pidfd=open_pidfd, restore_timeout=restore_timeout)

    def spec(self, run_id: str, *command: str, **fields: Any) -> RunSpec:
        """Return the spec of a run. ``fields`` replace its default fields."""
        defaults = {
            "run_id": run_id,
            "task": "t",
            "command": command,
            "environment": {"PATH": os.environ["PATH"]},
            "directory": str(self.root / "work"),
            "log_path": str(self.log),
            "log_limit": None,
            "zone": "UTC",
            "timeout": None,
            "stop_grace": 5.0,
            "leave": "nothing",
            "reports_failure": False,
        }
        return RunSpec(**(defaults | fields))

    def shell(self, run_id: str, script: str, **fields: Any) -> RunSpec:
        return self.spec(run_id, "/bin/sh", "-c", script, **fields)

    def python(self, run_id: str, script: str, **fields: Any) -> RunSpec:
        return self.spec(run_id, sys.executable, "-I", "-S", "-c", script, **fields)

    async def run(self, spec: RunSpec) -> RunResult:
        """Launch a run and wait for its result."""
        await self.runner.launch([spec])
        return await self.result(spec.run_id)

    @property
    def results(self) -> list[RunResult]:
        return [event for event in self.events if isinstance(event, RunResult)]

    async def result(self, run_id: str) -> RunResult:
        """Wait for the result of a run."""
        return await self.until(lambda: next((event for event in self.results if event.run_id == run_id), None))

    async def started(self, run_id: str) -> RunStarted:
        """Wait until a run has started."""

        def find() -> RunStarted | None:
            starts = (event for event in self.events if isinstance(event, RunStarted))
            return next((event for event in starts if event.run_id == run_id), None)

        return await self.until(find)

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until ``condition`` returns a true value and return that value."""
        async with asyncio.timeout(TIMEOUT):
            while not (value := condition()):  # files and processes post no events
                await asyncio.sleep(0.005)
        return value

    async def printed(self, prefix: str) -> str:
        """Wait until the log has a message that starts with ``prefix``; return the rest of the message."""

        def find() -> LogLine | None:
            return next((line for line in self.lines() if line.msg.startswith(prefix)), None)

        line = await self.until(find)
        return str(line.msg.removeprefix(prefix))

    def lines(self, run_id: str | None = None) -> list[LogLine]:
        """Return the lines of the log, of one run or of all."""
        data = LogReader(self.log).read(0, 1 << 26)[1]
        return [line for line in map(parse_line, data.splitlines()) if run_id in (None, line.run)]

    def shim_pid(self, run_id: str) -> int:
        return int(json.loads((self.run_files / run_id).read_bytes().splitlines()[0])["shim"])

    def has_ended(self, run_id: str) -> bool:
        """Return whether the run file has a result."""
        return (self.run_files / run_id).read_bytes().count(b"\n") == 2

    def use_folder(self, root: Path) -> None:
        """Keep the log and the work of the following runs in ``root``; forget the events of all earlier ones."""
        self.root = root
        self.log = root / "logs" / "t.log"
        self.events.clear()

    async def end_runs(self) -> None:
        """Stop all runs and remove their run files."""
        for run_id in self.runner.live:
            self.runner.stop_run(run_id)
        await self.until(lambda: not self.runner.live)
        for run_id in run_folder.run_ids(self.run_files):
            self.runner.remove_run_files(run_id)

    async def close(self) -> None:
        """Stop all runs and the runner."""
        for run_id in self.runner.live:
            self.runner.stop_run(run_id)
        await self.until(lambda: not self.runner.live)
        await self.runner.stop()


def is_alive(pid: int) -> bool:
    """Return whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool], timeout: float = TIMEOUT) -> bool:
    """Block until ``condition`` is true; return False if it is not true within the timeout."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
