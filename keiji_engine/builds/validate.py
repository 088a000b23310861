"""Validation of the sources before a build is activated, in a separate process with limits."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from keiji.errors import BuildFailed
from keiji.formats import format_duration
from keiji.parameters import Parameter
from keiji.policy import Policy
from keiji.schedule import Schedule, from_dict

VALIDATE_CHILD = Path(__file__).with_name("validate_child.py")
# The interpreter's options for validations and runs alike. Neither the current folder nor the user's own packages can
# be imported. Variables such as PYTHONPATH take effect if the task's .env sets them; the engine's are not passed on.
PYTHON_OPTIONS = ("-P", "-s", "-B", "-X", "utf8")
TIMEOUT = 30.0
# The child enforces the timeout itself, since it can report the current line; after this extra time it is killed.
_GRACE_PERIOD = 2.0
_SYNTAX_TIMEOUT = 10.0
_MAX_OUTPUT = 16 * 1024
_SYNTAX_BATCH = 200  # files per process


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The result of validating valid sources.

    Args:
        schedule: without anchor and zone; None if schedule.py has none.
        policy: None if schedule.py has none.
        import_seconds: how long the import of ``function.py`` took.
        line: line in ``schedule.py`` at which ``schedule()`` starts, if known.
        parameters: those of ``function()``.
    """

    schedule: Schedule | None = None
    policy: Policy | None = None
    import_seconds: float = 0.0
    line: int | None = None
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What there is to validate.

    Args:
        function: whether the task has a function.py to run.
        schedule_file: whether there is a schedule.py.
        schedule, policy: the line of task.toml on which they are set; None if they are not.
        is_manual: whether the schedule in task.toml is manual.
    """

    function: bool
    schedule_file: bool
    schedule: int | None = None
    policy: int | None = None
    is_manual: bool = False


async def validate(
    python: str,
    source: Path,
    *,
    scratch: Path,
    environment: Mapping[str, str],
    is_new: bool,
    timeout: float,
    parts: Parts,
) -> ValidationResult:
    """Validate the sources in ``source``, and compile them if the build ``is_new``. Never calls ``function()``.

    Args:
        python: the interpreter that will run them.
        scratch: an empty folder, the working folder of the process.
        environment: the environment of a run.
        timeout: time limit in seconds.

    Raises:
        BuildFailed: the sources are invalid. The first line of the message has file, line and reason.
    """
    with tempfile.TemporaryFile() as report, tempfile.TemporaryFile() as crash, tempfile.TemporaryFile() as output:
        state = "new" if is_new else "existing"
        options = (str(report.fileno()), str(crash.fileno()), str(timeout), state, json.dumps(asdict(parts)))
        command = (python, *PYTHON_OPTIONS, str(VALIDATE_CHILD), str(source), *options)
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 - returns as soon as the program is started
                command,
                cwd=scratch,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(report.fileno(), crash.fileno()),
                start_new_session=True,
            )
        except OSError as error:
            raise BuildFailed(f"cannot start the interpreter {python}: {error.strerror}") from error
        timed_out = await _wait_or_kill(process, timeout + _GRACE_PERIOD)
        last_report = json.loads((_read_text(report).splitlines() or ["{}"])[-1])
        if "passed" in last_report:
            return _result(last_report["passed"])
        if "failed" in last_report:
            raise BuildFailed(last_report["failed"])
        crash_trace = _read_text(crash)
        stage = _author_location(crash_trace, source) + last_report.get("stage", "validating the sources")
        if timed_out or crash_trace.startswith("Timeout"):
            hint = "move slow code into function(), which is not called during a build"
            raise BuildFailed(f"{stage} did not finish within {format_duration(timeout)}", hint=hint)
        printed = _read_text(output).strip()[-_MAX_OUTPUT:]
        cause = _describe_exit(process.returncode)
        raise BuildFailed(f"{stage} terminated the interpreter: {cause}" + (f"\n{printed}" if printed else ""))


async def _wait_or_kill(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait for the process, then kill its process group; return whether the process exceeded the timeout."""
    waiting = asyncio.ensure_future(asyncio.to_thread(process.wait))
    try:
        await asyncio.wait_for(asyncio.shield(waiting), timeout)
    except TimeoutError:
        return True
    finally:
        with suppress(ProcessLookupError, PermissionError):  # the group is empty
            os.killpg(process.pid, signal.SIGKILL)
        await waiting
    return False


def _read_text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(4 * 1024 * 1024).decode(errors="backslashreplace")


def _result(passed: dict[str, Any]) -> ValidationResult:
    schedule, policy = passed["schedule"], passed["policy"]
    return ValidationResult(
        schedule=None if schedule is None else from_dict(schedule),
        policy=None if policy is None else Policy.from_dict(policy),
        import_seconds=passed["import_seconds"],
        line=passed["line"],
        parameters=tuple(map(Parameter.from_dict, passed["parameters"])),
    )


def _author_location(trace: str, source: Path) -> str:
    """Return "function.py, line 3: ", the innermost frame below ``source`` in a faulthandler trace; "" for none."""
    # faulthandler writes ASCII and escapes other characters like Python does.
    root = f"{source}{os.sep}".encode("ascii", "backslashreplace").decode()
    for thread_trace in reversed(trace.split("(most recent call first)")):  # the main thread comes last
        for file, line in re.findall(r'^  File "(.*)", line (\d+) in', thread_trace, re.MULTILINE):
            if file.startswith(root):
                return f"{file.removeprefix(root)}, line {line}: "
    return ""


def _describe_exit(code: int) -> str:
    """Return "exit code 7" or "killed by SIGSEGV" for the return code of a process."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def check_syntax(source: Path, python: str, paths: Sequence[str]) -> str:
    """Return the first syntax error among ``paths`` of ``source``: "function.py, line 3: invalid syntax"; "" for none.

    The check runs in a separate process: compiling holds the GIL, and some sources crash the compiler.
    """
    python_files = [path for path in paths if path.endswith(".py")]
    for start in range(0, len(python_files), _SYNTAX_BATCH):
        command = (python, "-I", "-S", "-B", "-X", "utf8", str(VALIDATE_CHILD), "--syntax", str(source))
        try:
            completed = subprocess.run(
                (*command, *python_files[start : start + _SYNTAX_BATCH]),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SYNTAX_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"compiling the sources did not finish within {_SYNTAX_TIMEOUT:g}s"
        except OSError as error:
            return f"cannot start the interpreter {python}: {error.strerror}"
        if completed.returncode != 0:
            return f"compiling the sources terminated the interpreter: {_describe_exit(completed.returncode)}"
        if completed.stdout:
            return completed.stdout.decode(errors="backslashreplace").splitlines()[0]
    return ""
