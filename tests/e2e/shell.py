"""A person at a shell: an installation of their own, real commands, a real engine."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keiji import engine_process
from keiji.paths import Paths
from keiji_cli import main, services

_STARTS = {"start", "--start", "restart", "--restart", "uninstall", "--uninstall"}


class Shell:
    """Runs ``keiji`` with an installation that lies in ``root`` alone.

    Args:
        processes: whether every command is a process of its own, as it really is. Otherwise only those are that start
            one; the others run in this process, which spares them the start.
    """

    def __init__(self, root: Path, *, processes: bool) -> None:
        self.paths = Paths.under(root)
        self.environment = os.environ | engine_process.environment_of(self.paths) | {"KEIJI_ROOT": str(root)}
        self._processes = processes

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "keiji_cli.main", *arguments]

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command that has to end with ``code`` and return what it printed: its errors where it fails."""
        if self._processes or (arguments[0] == "system" and _STARTS & set(arguments)):
            ended, shown, complaint = self._in_a_process(arguments)
        else:
            ended, shown, complaint = self._here(arguments)
        assert ended == code, f"{arguments} ended with {ended}: {shown}{complaint}"
        assert "Traceback" not in complaint
        return complaint if code else shown

    def _in_a_process(self, arguments: tuple[str, ...]) -> tuple[int, str, str]:
        ended = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
        return ended.returncode, ended.stdout, ended.stderr

    def _here(self, arguments: tuple[str, ...]) -> tuple[int, str, str]:
        shown, complaint = io.BytesIO(), io.BytesIO()
        with (
            _environment(self.environment),
            contextlib.redirect_stdout(io.TextIOWrapper(shown, "utf-8", write_through=True)) as output,
            contextlib.redirect_stderr(io.TextIOWrapper(complaint, "utf-8", write_through=True)) as errors,
        ):
            ended = main.run(arguments)
        output.detach()
        errors.detach()
        return ended, shown.getvalue().decode(), complaint.getvalue().decode()

    def __call__(self, line: str, code: int = 0) -> str:
        """Run a line without quotes in it."""
        return self.run(*line.split(), code=code)

    def json(self, line: str) -> Any:
        return json.loads(self(f"{line} --json"))

    def task(self, name: str = "ping_google") -> dict[str, Any]:
        (task,) = json.loads(self.run("task", "get", name, "--json"))
        assert isinstance(task, dict)
        return task

    def write(self, task: str, *, function: str | None = None, schedule: str | None = None) -> None:
        """Edit the sources of a task: the body of its function, and what its schedule returns."""
        source = self.paths.source(task)
        if function is not None:
            lines = "\n".join(f"    {line}" for line in function.splitlines())
            (source / "function.py").write_text(f"import os, time\n\n\ndef function():\n{lines}\n")
        if schedule is not None:
            text = f"from keiji import Policy, Retry, every, on\n\n\ndef schedule():\n    return {schedule}\n"
            (source / "schedule.py").write_text(text)

    def log(self, task: str = "ping_google") -> str:
        path = self.paths.task_log(task)
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        """End whatever is left of the engine and its runs."""
        if engine_process.is_running(self.paths) or services.live_runs(self.paths):
            self("system uninstall --yes --workspace")


@contextlib.contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
