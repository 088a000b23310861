"""An installation of keiji in a folder of the test's own: real files, a real engine in a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import zmq

from keiji import engine_process
from keiji.paths import Paths
from keiji.records import Run
from keiji.states import RunState
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import TaskView
from keiji_engine.client import facade

LIMIT = 20.0
T = TypeVar("T")

FAILS = "def function():\n    raise ValueError('boom')\n"
SLEEPS = "import time\ndef function():\n    print('begun', flush=True)\n    time.sleep(60)\n"
WRITE_NOTHING = "def function():\n    pass\n"
EVERY_SECOND = "every(1).seconds"
EVERY_HOUR = "every(1).hours"


def until(condition: Callable[[], T], what: str = "", limit: float = LIMIT) -> T:
    """Wait until ``condition`` is true and return what it returned."""
    deadline = time.monotonic() + limit
    while not (met := condition()):
        assert time.monotonic() < deadline, f"not within {limit:g} s: {what or condition}"
        time.sleep(0.02)
    return met


class Installation:
    """A workspace, its state, and an engine that can be started, stopped and killed."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths.under(root)
        self.engine: subprocess.Popen[bytes] | None = None
        self.output: int | None = None
        self.environment = os.environ | {"KEIJI_ROOT": str(root)}
        self.paths.tasks.mkdir(parents=True)
        self.settings()

    def settings(self, **values: str) -> None:
        """Write settings.conf."""
        lines = {"DB_URL": "default", "TIME_ZONE": "Africa/Nairobi", "ROTATE_LOGS": "1", "LOG_MAX_SIZE": "1000000"}
        text = "".join(f"{key}={value}\n" for key, value in (lines | values).items())
        self.paths.settings.write_text(text)

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────

    def write(self, slug: str, function: str = WRITE_NOTHING, schedule: str = EVERY_HOUR, policy: str = "") -> Path:
        """Write the sources of a task, and return its folder."""
        folder = self.paths.source(slug)
        folder.mkdir(exist_ok=True)
        (folder / "function.py").write_text(function)
        policy_line = f"policy = {policy}\n" if policy else ""
        (folder / "schedule.py").write_text(
            f"from keiji import *\n\n{policy_line}\ndef schedule():\n    return {schedule}\n"
        )
        return folder

    def build(self, slug: str, function: str = WRITE_NOTHING, schedule: str = EVERY_HOUR, policy: str = "") -> None:
        """Write the sources of a task and build it."""
        self.write(slug, function, schedule, policy)
        self.ask(p.BuildTask(task=slug))

    def task(self, slug: str) -> TaskView:
        return self.ask(p.GetTasks(task=slug)).tasks[0]

    def runs(self, slug: str) -> list[Run]:
        """Return the runs of a task, oldest first."""
        return list(reversed(self.ask(p.GetRuns(task=slug, limit=1000)).runs))

    def ended(self, slug: str, count: int = 1, state: RunState | None = None) -> list[Run]:
        """Wait until ``count`` runs of a task that had a process have ended, and return them, oldest first."""

        def found() -> list[Run]:
            runs = [run for run in self.runs(slug) if run.finished_at is not None and run.started_at is not None]
            wanted = [run for run in runs if state is None or run.state == state]
            return wanted if len(wanted) >= count else []

        return until(found, f"{count} ended runs of {slug}")

    def log(self, slug: str) -> str:
        path = self.paths.task_log(slug)
        return path.read_text() if path.exists() else ""

    def ask(self, request: p.Request[p.R]) -> p.R:
        """Ask as the command line does; a mere question of a running engine on a plain socket, which costs less."""
        if (
            isinstance(request, p.Directive)
            or not self.paths.control.exists()
            or not engine_process.is_running(self.paths)
        ):
            return facade.ask(self.paths, request, sender="test")
        with zmq.Context() as context, context.socket(zmq.REQ) as socket:
            socket.linger = 0
            socket.connect(f"ipc://{self.paths.control}")
            socket.send_multipart(p.encode(request))
            assert socket.poll(LIMIT * 1000), "the engine does not answer"
            reply = p.decode_reply(socket.recv_multipart())
        return p.check_reply(request, reply)

    def do(self, directive: p.Directive) -> tuple[str, ...]:
        """Have a directive carried out, and return what it says."""
        return self.ask(directive).lines

    # ── the engine ───────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, *arguments: str) -> int:
        """Start an engine, wait until it is ready, and return its pid."""
        assert self.engine is None
        self.paths.logs.mkdir(parents=True, exist_ok=True)
        with (self.paths.logs / "engine.out").open("ab") as output:
            self.engine = subprocess.Popen(
                [sys.executable, "-m", "keiji_engine.main", *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=self.output or output,
                stderr=self.output or output,
            )
        pid = self.engine.pid
        until(lambda: self.engine_is_ready(pid) or self._ended_early(), "the engine is ready")
        return pid

    def engine_is_ready(self, pid: int) -> bool:
        note = engine_process.read_info(self.paths)
        return note is not None and note.pid == pid

    def _ended_early(self) -> bool:
        assert self.engine is not None
        assert self.engine.poll() is None, (self.paths.logs / "engine.out").read_text()
        return False

    def stop(self) -> int:
        """End the engine gracefully and return its exit code."""
        assert self.engine is not None
        engine, self.engine = self.engine, None
        engine.send_signal(signal.SIGTERM)
        return engine.wait(LIMIT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the engine."""
        assert self.engine is not None
        self.engine.send_signal(number)

    def kill(self) -> None:
        """Kill the engine as the kernel would."""
        assert self.engine is not None
        engine, self.engine = self.engine, None
        engine.kill()
        engine.wait(LIMIT)

    def close(self) -> None:
        """End the engine and every live run."""
        if self.engine is None and any(self.paths.runs.glob("*")):
            self.start()
        if self.engine is None:
            return
        try:
            self._end_runs()
        finally:
            self.stop()

    def _end_runs(self) -> None:
        if not engine_process.is_running(self.paths) or not self.paths.control.exists():
            return
        for task in self.ask(p.GetTasks()).tasks:
            if not task.is_disabled:
                self.ask(p.Disable(task=task.slug))
