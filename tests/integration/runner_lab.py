"""A real runner on a folder of its own, and what its tests ask of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keiji.records import RunResult
from keiji_engine.logs.writer import LogLine, LogReader, parse_line
from keiji_engine.runner.runner import Runner, RunStarted
from keiji_engine.runner.spec import RunSpec

LIMIT = 15.0


class Lab:
    """Keeps what the runner tells and notes, and waits for more of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "logs" / "t.log"
        self.told: list[RunStarted | RunResult] = []
        self.notes: list[str] = []
        self.runner = Runner(root / "run" / "runs", self.told.append, self.notes.append)

    def spec(self, run_id: str, *command: str, **others: Any) -> RunSpec:
        values = {
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
        }
        return RunSpec(**(values | others))

    def shell(self, run_id: str, script: str, **others: Any) -> RunSpec:
        return self.spec(run_id, "/bin/sh", "-c", script, **others)

    def python(self, run_id: str, script: str, **others: Any) -> RunSpec:
        return self.spec(run_id, sys.executable, "-I", "-S", "-c", script, **others)

    async def run(self, spec: RunSpec) -> RunResult:
        await self.runner.launch([spec])
        return await self.result(spec.run_id)

    async def result(self, run_id: str) -> RunResult:
        def find() -> RunResult | None:
            return next((each for each in self.told if isinstance(each, RunResult) and each.run_id == run_id), None)

        return await self.until(find)

    async def started(self, run_id: str) -> RunStarted:
        def find() -> RunStarted | None:
            return next((each for each in self.told if isinstance(each, RunStarted) and each.run_id == run_id), None)

        return await self.until(find)

    async def until(self, find: Callable[[], Any]) -> Any:
        """Return what ``find`` returns, once that is anything."""
        async with asyncio.timeout(LIMIT):
            while not (found := find()):  # files and processes post no events
                await asyncio.sleep(0.005)
        return found

    async def printed(self, text: str) -> str:
        """Wait until the log has a message that begins with ``text``; return the rest of the message."""

        def find() -> str | None:
            found = (line.msg for line in self.lines() if line.msg.startswith(text))
            return next((f" {message.removeprefix(text)}" for message in found), None)

        return str(await self.until(find)).strip()

    def lines(self, run_id: str | None = None) -> list[LogLine]:
        """Return what the log holds, of one run or of all."""
        reader = LogReader(self.log)
        lines = [parse_line(each) for each in reader.read(0, 1 << 26)[1].splitlines()]
        return [each for each in lines if run_id in (None, each.run)]

    def shim(self, run_id: str) -> int:
        """Return the process id of a run's shim."""
        return int(json.loads((self.root / "run" / "runs" / run_id).read_bytes().splitlines()[0])["shim"])

    async def close(self) -> None:
        """Leave no process behind."""
        for run_id in self.runner.live:
            self.runner.stop_run(run_id)
        await self.until(lambda: not self.runner.live)
        await self.runner.stop()


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def waited(condition: Callable[[], bool], limit: float = LIMIT) -> bool:
    """Return whether the condition came true within the limit."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
