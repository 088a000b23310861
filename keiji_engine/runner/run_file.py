"""The file of a run: its first line says what it is and who looks after it, its last how it ended.

The shim holds a lock on the file for as long as it lives, which no process that happens to get its number can fake. The
file appears under its name complete and locked; a line without its newline is no result. Both lines carry a version: a
reader takes what it knows of a newer one.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from keiji.reasons import Reason, text_reason
from keiji.records import RunResult
from keiji.states import RunState
from keiji_engine.runner.spec import VERSION, RunSpec

_UNFINISHED = "."  # what begins so is not yet a run file


def create(folder: Path, spec: RunSpec, started_at: datetime) -> int:
    """Make the run's file for this process and return its descriptor, which holds the lock.

    Raises:
        FileExistsError: the run has, or had, a shim already.
        OSError: the file cannot be written.
    """
    head = {
        "version": VERSION,
        "run_id": spec.run_id,
        "task": spec.task,
        "command": spec.command,
        # Names only: the values are often secrets.
        "environment": sorted(spec.environment),
        "directory": spec.directory,
        "log_path": spec.log_path,
        "timeout": spec.timeout,
        "stop_grace": spec.stop_grace,
        "shim": os.getpid(),
        "started_at": started_at.isoformat(),
    }
    unfinished, path = folder / f"{_UNFINISHED}{spec.run_id}.{os.getpid()}", folder / spec.run_id
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _write(descriptor, head)
        path.hardlink_to(unfinished)  # unlike a rename, it does not replace
    except OSError:
        os.close(descriptor)
        raise
    finally:
        unfinished.unlink()
    return descriptor


def finish(descriptor: int, result: RunResult) -> None:
    """Append how the run ended; where that raises OSError, nothing was appended."""
    _write(
        descriptor,
        {
            "version": VERSION,
            "state": result.state.value,
            "exit_code": result.exit_code,
            "signal": result.signal,
            "started_at": result.started_at.isoformat() if result.started_at else None,
            "finished_at": result.finished_at.isoformat(),
            "cpu_seconds": result.cpu_seconds,
            "peak_memory_bytes": result.peak_memory_bytes,
            "log_start": result.log_start,
            "log_end": result.log_end,
            "reason": result.reason.to_dict() if result.reason is not None else None,
        },
    )


def _write(descriptor: int, data: dict[str, Any]) -> None:
    size = os.fstat(descriptor).st_size
    rest = memoryview(json.dumps(data).encode() + b"\n")
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        os.ftruncate(descriptor, size)  # so that another attempt begins with a line of its own
        raise


@dataclass(frozen=True, slots=True)
class Head:
    """Who looks after the run, and since when."""

    shim: int
    started_at: datetime


def read(path: Path) -> tuple[Head | None, RunResult | None]:
    """Return what the file says: None for a part that is not there, or cannot be read. Raises FileNotFoundError."""
    lines = path.read_bytes().split(b"\n")[:-1]
    head: Head | None = None
    result: RunResult | None = None
    for number, line in enumerate(lines):
        try:
            data = json.loads(line)
            if number == 0:
                head = Head(int(data["shim"]), datetime.fromisoformat(data["started_at"]))
            else:
                result = _result(path.name, data)
        except (ValueError, TypeError, KeyError):
            continue
    return head, result


def _result(run_id: str, data: dict[str, Any]) -> RunResult:
    return RunResult(
        run_id=run_id,
        state=RunState(data["state"]),
        finished_at=datetime.fromisoformat(data["finished_at"]),
        started_at=datetime.fromisoformat(data["started_at"]) if data["started_at"] else None,
        reason=_reason(data["reason"]),
        exit_code=data["exit_code"],
        signal=data["signal"],
        cpu_seconds=data["cpu_seconds"],
        peak_memory_bytes=data["peak_memory_bytes"],
        log_start=data["log_start"],
        log_end=data["log_end"],
    )


def _reason(data: dict[str, Any] | str | None) -> Reason | None:
    if isinstance(data, str):  # as a shim of an earlier version writes it
        return text_reason(data) if data else None
    return Reason.from_dict(data) if data is not None else None


def is_held(path: Path) -> bool:
    """Whether the shim of this run is alive. Raises FileNotFoundError."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def run_ids(folder: Path) -> list[str]:
    """Return the runs that have a file, and remove what never became one; call it only while no launcher lives."""
    found = []
    for path in folder.iterdir():
        if path.name.startswith(_UNFINISHED):
            path.unlink(missing_ok=True)
        else:
            found.append(path.name)
    return sorted(found)
