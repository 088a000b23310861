"""Run ``keiji`` commands in the process of the test, which saves the start of an interpreter, or in their own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from keiji_cli import main


class Result(NamedTuple):
    """The result of a command."""

    code: int
    stdout: str
    stderr: str


def argv(*arguments: str) -> list[str]:
    """Return the command line of a command."""
    return [sys.executable, "-m", "keiji_cli.main", *arguments]


def run_command(*arguments: str, environment: Mapping[str, str]) -> Result:
    """Run a command in this process, with ``environment`` in addition to the environment of this process."""
    stdout, stderr = io.BytesIO(), io.BytesIO()
    with (
        _environment(environment),
        contextlib.redirect_stdout(io.TextIOWrapper(stdout, "utf-8", write_through=True)) as stdout_text,
        contextlib.redirect_stderr(io.TextIOWrapper(stderr, "utf-8", write_through=True)) as stderr_text,
    ):
        code = main.run(arguments)
    stdout_text.detach()
    stderr_text.detach()
    return Result(code, stdout.getvalue().decode(), stderr.getvalue().decode())


def run_process(*arguments: str, environment: Mapping[str, str]) -> Result:
    """Do the same in a process of its own."""
    process = subprocess.run(
        argv(*arguments),
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return Result(process.returncode, process.stdout, process.stderr)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    original = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(original)
