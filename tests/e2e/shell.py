"""A user's shell: an installation of its own, real commands, a real engine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import command_line
from command_line import Result

from keiji import engine_process
from keiji.paths import Paths
from keiji_cli import services


class Shell:
    """Runs ``keiji`` commands on the installation in ``root``.

    Commands run in this process, which saves the start of an interpreter for each; `run_process` starts a real one.
    """

    def __init__(self, root: Path) -> None:
        self.paths = Paths.under(root)
        self.environment = os.environ | engine_process.environment_for(self.paths) | {"KEIJI_ROOT": str(root)}

    def argv(self, *arguments: str) -> list[str]:
        return command_line.argv(*arguments)

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command that has to exit with ``code``; return its output, or its errors if ``code`` is not 0."""
        return _check(arguments, command_line.run_command(*arguments, environment=self.environment), code)

    def run_process(self, *arguments: str, code: int = 0) -> str:
        """Run a command like `run`, in a process of its own."""
        return _check(arguments, command_line.run_process(*arguments, environment=self.environment), code)

    def __call__(self, line: str, code: int = 0) -> str:
        """Run a command line that contains no quotes."""
        return self.run(*line.split(), code=code)

    def notes(self, line: str) -> str:
        """Run a command line like `__call__`; return what it wrote to standard error."""
        result = command_line.run_command(*line.split(), environment=self.environment)
        _check(tuple(line.split()), result, 0)
        return result.stderr

    def json(self, line: str) -> Any:
        return json.loads(self(f"{line} --json"))

    def task(self, name: str = "ping_google") -> dict[str, Any]:
        (task,) = json.loads(self.run("task", "get", name, "--json"))
        assert isinstance(task, dict)
        return task

    def write(self, task: str, *, function: str | None = None, schedule: str | None = None) -> None:
        """Edit the sources of a task: the body of its function, and the expression of its schedule."""
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
        """Stop the engine and all runs."""
        services.stop_engine_and_runs(self.paths)


def _check(arguments: tuple[str, ...], result: Result, code: int) -> str:
    assert result.code == code, f"{arguments} exited with {result.code}: {result.stdout}{result.stderr}"
    assert "Traceback" not in result.stderr
    return result.stderr if code else result.stdout
