"""A user's shell: an installation of its own, real commands, a real engine."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from keiji import engine_process
from keiji.paths import Paths
from keiji_cli import main, services


class Result(NamedTuple):
    """The result of a command."""

    code: int
    stdout: str
    stderr: str


class Shell:
    """Runs ``keiji`` commands on the installation in ``root``.

    Commands run in this process, which saves the start of an interpreter for each; `run_process` starts a real one.
    """

    def __init__(self, root: Path) -> None:
        self.paths = Paths.under(root)
        self.environment = os.environ | engine_process.environment_of(self.paths) | {"KEIJI_ROOT": str(root)}

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "keiji_cli.main", *arguments]

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command that has to exit with ``code``; return its output, or its errors if ``code`` is not 0."""
        stdout, stderr = io.BytesIO(), io.BytesIO()
        with (
            _environment(self.environment),
            contextlib.redirect_stdout(io.TextIOWrapper(stdout, "utf-8", write_through=True)) as stdout_text,
            contextlib.redirect_stderr(io.TextIOWrapper(stderr, "utf-8", write_through=True)) as stderr_text,
        ):
            exit_code = main.run(arguments)
        stdout_text.detach()
        stderr_text.detach()
        return _check(arguments, Result(exit_code, stdout.getvalue().decode(), stderr.getvalue().decode()), code)

    def run_process(self, *arguments: str, code: int = 0) -> str:
        """Do the same in a process of its own."""
        process = subprocess.run(
            self.argv(*arguments),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
        return _check(arguments, Result(process.returncode, process.stdout, process.stderr), code)

    def __call__(self, line: str, code: int = 0) -> str:
        """Run a line without quotes."""
        return self.run(*line.split(), code=code)

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


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    original = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(original)
