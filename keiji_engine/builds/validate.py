"""The gate: nothing is switched to before its sources were looked at, in a process of their own, with limits."""

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
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from keiji.errors import BuildFailed
from keiji.policy import Policy
from keiji.schedule import Schedule, from_dict

VALIDATE_CHILD = Path(__file__).with_name("validate_child.py")
LIMIT = 30.0
# The examiner keeps the limit itself and can tell where it was; this much later it is ended from outside.
_SLACK = 2.0
_SYNTAX_LIMIT = 10.0
_MOST_OUTPUT = 16 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate learned of sources that passed. ``schedule`` is not placed yet; ``line`` is where it is made."""

    schedule: Schedule
    policy: Policy
    import_seconds: float
    line: int | None


async def examine(
    python: str, source: Path, *, final: Path, scratch: Path, environment: Mapping[str, str], is_new: bool, limit: float
) -> Verdict:
    """Look at the sources in ``source``; compile them when the build ``is_new``. Never calls the function.

    Args:
        python: the interpreter that will run them.
        final: where the sources will lie when the build is in place; what tracebacks name.
        scratch: working folder of the examination; empty.
        environment: as a run would have it.
        limit: seconds that it may take.

    Raises:
        BuildFailed: they do not pass. The first line of the message is file, line and reason.
    """
    with tempfile.TemporaryFile() as report, tempfile.TemporaryFile() as trace, tempfile.TemporaryFile() as output:
        numbers = (str(report.fileno()), str(trace.fileno()), str(limit), "new" if is_new else "kept")
        command = (python, "-I", "-B", "-X", "utf8", str(VALIDATE_CHILD), str(source), str(final), *numbers)
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 - it returns as soon as the program is started
                command,
                cwd=scratch,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(report.fileno(), trace.fileno()),
                start_new_session=True,
            )
        except OSError as error:
            raise BuildFailed(f"the interpreter {python} cannot be started: {error.strerror}") from error
        late = await _ended(process, limit + _SLACK)
        last = json.loads((_text(report).splitlines() or ["{}"])[-1])
        if "passed" in last:
            return _verdict(last["passed"])
        if "failed" in last:
            raise BuildFailed(last["failed"])
        crash = _text(trace)
        stage = f"{_author_line(crash, (source, final))}{last.get('stage', 'examining it')}"
        if late or crash.startswith("Timeout"):
            hint = "what takes long belongs into function(), which the build does not call"
            raise BuildFailed(f"{stage} did not end within {limit:g} s", hint=hint)
        printed = _text(output).strip()[-_MOST_OUTPUT:]
        raise BuildFailed(
            f"{stage} ended the interpreter: {_end(process.returncode)}" + (f"\n{printed}" if printed else "")
        )


async def _ended(process: subprocess.Popen[bytes], limit: float) -> bool:
    """Wait until the process ends, and end it with all that it started when it does not; return whether it was late."""
    waiting = asyncio.ensure_future(asyncio.to_thread(process.wait))
    try:
        await asyncio.wait_for(asyncio.shield(waiting), limit)
    except TimeoutError:
        return True
    finally:
        with suppress(ProcessLookupError, PermissionError):  # nothing is left of its group
            os.killpg(process.pid, signal.SIGKILL)
        await waiting
    return False


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(4 * 1024 * 1024).decode(errors="backslashreplace")


def _verdict(passed: dict[str, Any]) -> Verdict:
    policy = Policy.from_dict(passed["policy"])
    return Verdict(from_dict(passed["schedule"]), policy, passed["import_seconds"], passed["line"])


def _author_line(trace: str, roots: tuple[Path, Path]) -> str:
    """Return "function.py, line 3: " of the author's innermost frame that faulthandler wrote; "" for none."""
    for block in reversed(trace.split("(most recent call first)")):  # the main thread comes last
        for file, line in re.findall(r'^  File "(.*)", line (\d+) in', block, re.MULTILINE):
            for root in roots:
                # It writes ASCII only, and escapes as Python does.
                escaped = f"{root}{os.sep}".encode("ascii", "backslashreplace").decode()
                if file.startswith(escaped):
                    return f"{file.removeprefix(escaped)}, line {line}: "
    return ""


def _end(code: int) -> str:
    """Return how a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def check_syntax(source: Path, python: str, paths: Sequence[str]) -> str:
    """Return the first syntax error among ``paths`` of ``source``: "function.py, line 3: invalid syntax"; "" for none.

    In a process of its own: compiling holds the interpreter for as long as it takes, and some sources crash it.
    """
    wanted = [path for path in paths if path.endswith(".py")]
    for first in range(0, len(wanted), 200):
        command = (python, "-I", "-S", "-B", "-X", "utf8", str(VALIDATE_CHILD), "--syntax", str(source))
        try:
            done = subprocess.run(
                (*command, *wanted[first : first + 200]),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SYNTAX_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"the sources take more than {_SYNTAX_LIMIT:g} s to compile"
        except OSError as error:
            return f"the interpreter {python} cannot be started: {error.strerror}"
        if done.returncode != 0:
            return f"the interpreter ended with {done.returncode} while the sources were compiled"
        if done.stdout:
            return done.stdout.decode(errors="backslashreplace").splitlines()[0]
    return ""
