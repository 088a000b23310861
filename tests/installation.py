"""A keiji installation in a folder of its own: real files, and a real engine in a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

import zmq
from engine_fork import Clock, start_engine

from keiji import engine_process
from keiji.paths import Paths
from keiji.records import Run
from keiji.states import RunState
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import TaskView
from keiji_engine.client import facade

TIMEOUT = 20.0
T = TypeVar("T")

DO_NOTHING = "def function():\n    pass\n"
FAILS = "def function():\n    raise ValueError('boom')\n"
SLEEPS = "import time\ndef function():\n    print('started', flush=True)\n    time.sleep(60)\n"
EVERY_SECOND = "every(1).seconds"
EVERY_MINUTE = "every(1).minutes"  # for tests that advance the clock: nothing becomes due before they do
EVERY_HOUR = "every(1).hours"


def until(condition: Callable[[], T], description: str = "", timeout: float = TIMEOUT) -> T:
    """Wait until ``condition`` returns a true value and return that value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {description or condition}"
        time.sleep(0.01)
    return value


class Installation:
    """A workspace, its state, and an engine that can be started, stopped and killed.

    Args:
        root: the folder that holds everything; it must not exist.
        polls_often: whether the engine looks for problems much more often than an engine of a user.
    """

    def __init__(self, root: Path, *, polls_often: bool = True) -> None:
        self._polls_often = polls_often
        self.paths = Paths.under(root)
        self.clock = Clock(root.with_name(f"{root.name}.clock"))
        self.engine: BaseProcess | None = None
        self.output = self.paths.logs / "engine.out"
        self.environment = os.environ | {"KEIJI_ROOT": str(root)}
        self.paths.tasks.mkdir(parents=True)
        self.write_settings()

    def write_settings(self, **values: str) -> None:
        """Write settings.conf: the defaults of the tests, overridden by ``values``."""
        lines = {"DB_URL": "default", "TIME_ZONE": "Africa/Nairobi", "ROTATE_LOGS": "1", "LOG_MAX_SIZE": "1000000"}
        text = "".join(f"{key}={value}\n" for key, value in (lines | values).items())
        self.paths.settings.write_text(text)

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────

    def write(self, slug: str, function: str = DO_NOTHING, schedule: str = EVERY_HOUR, policy: str = "") -> Path:
        """Write the sources of a task and return its folder."""
        folder = self.paths.source(slug)
        folder.mkdir(exist_ok=True)
        (folder / "function.py").write_text(function)
        policy_line = f"policy = {policy}\n" if policy else ""
        (folder / "schedule.py").write_text(
            f"from keiji import *\n\n{policy_line}\ndef schedule():\n    return {schedule}\n"
        )
        return folder

    def build(self, slug: str, function: str = DO_NOTHING, schedule: str = EVERY_HOUR, policy: str = "") -> None:
        """Write the sources of a task and build it."""
        self.write(slug, function, schedule, policy)
        self.ask(p.BuildTask(task=slug))

    def task(self, slug: str) -> TaskView:
        return self.ask(p.GetTasks(task=slug)).tasks[0]

    def next_due(self, slug: str) -> datetime:
        """Return when a task is due next; it has to be enabled."""
        moment = self.task(slug).next_execution_time
        assert moment is not None
        return moment

    def runs(self, slug: str) -> list[Run]:
        """Return the runs of a task, oldest first."""
        return list(reversed(self.ask(p.GetRuns(task=slug, limit=1000)).runs))

    def wait_for_runs(self, slug: str, count: int, condition: Callable[[Run], object]) -> list[Run]:
        """Wait until ``count`` runs of a task meet ``condition`` and return all that do, oldest first."""

        def matching() -> list[Run]:
            runs = [run for run in self.runs(slug) if condition(run)]
            return runs if len(runs) >= count else []

        return until(matching, f"{count} such runs of {slug}")

    def ended(self, slug: str, count: int = 1, state: RunState | None = None) -> list[Run]:
        """Wait until ``count`` runs of a task have started and ended, in ``state`` if given; return them in order."""
        return self.wait_for_runs(
            slug,
            count,
            lambda run: run.started_at and run.finished_at and (state is None or run.state is state),
        )

    def run_files(self) -> list[Path]:
        """Return the files of the runs that are live or not recorded yet."""
        return [path for path in self.paths.runs.glob("*") if not path.name.startswith(".")]

    def log(self, slug: str) -> str:
        path = self.paths.task_log(slug)
        return path.read_text() if path.exists() else ""

    def ask(self, request: p.Request[p.R]) -> p.R:
        """Send a request as the command line does; a query to a running engine uses a plain socket, which is faster."""
        if (
            isinstance(request, p.Directive)
            or not self.paths.control_socket.exists()
            or not engine_process.is_running(self.paths)
        ):
            return facade.ask(self.paths, request, sender="test", clock=self.clock)
        with zmq.Context() as context, context.socket(zmq.REQ) as socket:
            socket.linger = 0
            socket.connect(f"ipc://{self.paths.control_socket}")
            socket.send_multipart(p.encode(request))
            assert socket.poll(TIMEOUT * 1000), "the engine does not answer"
            reply = p.decode_reply(socket.recv_multipart())
        return p.check_reply(request, reply)

    def do(self, directive: p.Directive) -> tuple[str, ...]:
        """Send a directive, wait until it is done, and return the lines of the reply."""
        return self.ask(directive).lines

    # ── the engine ───────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, *arguments: str, prepare: Callable[[], None] | None = None) -> int:
        """Start an engine, wait until it is ready, and return its pid; see `start_engine` for ``prepare``."""
        assert self.engine is None
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.engine = start_engine(
            arguments, self.environment, self.output, self.clock, prepare, polls_often=self._polls_often
        )
        pid = self.engine.pid
        assert pid is not None
        until(lambda: self._is_ready(pid) or self._has_exited(), "the engine is ready")
        return pid

    def _is_ready(self, pid: int) -> bool:
        info = engine_process.read_info(self.paths)
        return info is not None and info.pid == pid

    def _has_exited(self) -> bool:
        assert self.engine is not None
        assert self.engine.exitcode is None, self.output.read_text()
        return False

    def advance_to(self, moment: datetime) -> None:
        """Move the engine's clock forward to ``moment`` and wake the scheduler."""
        self.clock.advance_to(moment)
        self.wake_scheduler()

    def wake_scheduler(self) -> None:
        """Wake the scheduler now rather than within a second, by restarting that service."""
        self.do(p.RestartService(service="scheduler"))

    def advance(self, seconds: float) -> None:
        """Move the engine's clock forward by ``seconds`` and wake the scheduler."""
        self.advance_to(self.clock() + timedelta(seconds=seconds))

    def stop(self) -> int:
        """End the engine gracefully and return its exit code."""
        self.signal(signal.SIGTERM)
        return self._wait_for_exit()

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to the engine."""
        assert self.engine is not None
        assert self.engine.pid is not None
        os.kill(self.engine.pid, signum)

    def kill(self) -> None:
        """Kill the engine with SIGKILL."""
        self.signal(signal.SIGKILL)
        self._wait_for_exit()

    def _wait_for_exit(self) -> int:
        assert self.engine is not None
        self.engine.join(TIMEOUT)
        code = self.engine.exitcode
        assert code is not None, "the engine does not end"
        self.engine = None
        return code

    def delete_tasks(self) -> None:
        """Delete every task with its sources and wait until no run is left; the engine must be running."""
        for task in self._tasks():
            self.do(p.Delete(task=task.slug))
        for folder in self.paths.tasks.iterdir():
            shutil.rmtree(folder)
        until(lambda: not self.run_files(), "all runs have ended")

    def close(self) -> None:
        """End every live run and the engine."""
        if self.engine is None and self.run_files():
            self.start()
        if self.engine is None:
            return
        try:
            if engine_process.is_running(self.paths) and self.paths.control_socket.exists():
                for task in self._tasks():
                    if not task.is_disabled:
                        self.do(p.Disable(task=task.slug))
            self.stop()
        finally:
            if self.engine is not None:
                self.kill()

    def _tasks(self) -> tuple[TaskView, ...]:
        return self.ask(p.GetTasks()).tasks
