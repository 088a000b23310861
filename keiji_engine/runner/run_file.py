"""The file of a run, written by its shim: the first line describes the run and its shim, the last line its result.

The shim holds a lock on the file for as long as it lives; a process that happens to reuse its pid does not. The file is
complete and locked when it appears under its name. A line without a newline was not written completely and is ignored.
Both lines have a version; a reader of an older version reads the fields that it knows.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from keiji import file_lock, machine
from keiji.reasons import Code, Reason, reason, text_reason
from keiji.records import RunResult
from keiji.states import RunState
from keiji_engine.runner.spec import RunSpec

_VERSION = 1
_TEMPORARY_PREFIX = "."


def create(folder: Path, spec: RunSpec, started_at: datetime) -> int:
    """Create the file of a run whose shim is this process; return its descriptor, which holds the lock.

    Raises:
        FileExistsError: the run already has a run file, of a live or an ended shim.
        OSError: the file cannot be written.
    """
    header = {
        "version": _VERSION,
        "run_id": spec.run_id,
        "task": spec.task,
        "command": spec.command,
        # Names only: values are often secrets.
        "environment": sorted(spec.environment),
        "directory": spec.directory,
        "log_path": spec.log_path,
        "timeout": spec.timeout,
        "stop_grace": spec.stop_grace,
        "shim": os.getpid(),
        "boot": machine.boot_id(),
        "started_at": started_at.isoformat(),
    }
    temporary, path = folder / f"{_TEMPORARY_PREFIX}{spec.run_id}.{os.getpid()}", folder / spec.run_id
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        file_lock.lock(descriptor)
        _append(descriptor, header)
        path.hardlink_to(temporary)  # unlike a rename, this does not replace an existing file
    except OSError:
        os.close(descriptor)
        raise
    finally:
        temporary.unlink()
    return descriptor


def finish(descriptor: int, result: RunResult) -> None:
    """Append the result. Raises OSError if it cannot be written; nothing was appended then."""
    _append(
        descriptor,
        {
            "version": _VERSION,
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


def _append(descriptor: int, data: dict[str, Any]) -> None:
    size = os.fstat(descriptor).st_size
    remaining = memoryview(json.dumps(data).encode() + b"\n")
    try:
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
    except OSError:
        os.ftruncate(descriptor, size)  # so that a retry starts on a new line
        raise


@dataclass(frozen=True, slots=True)
class Header:
    """The part of a run file's first line that another process needs.

    Args:
        shim: pid of the shim.
        boot: the boot of the machine in which the run was started; "" if it is unknown.
    """

    shim: int
    started_at: datetime
    boot: str = ""


def read(path: Path) -> tuple[Header | None, RunResult | None]:
    """Return the header and the result, each None if it is missing or invalid. Raises FileNotFoundError."""
    lines = path.read_bytes().split(b"\n")[:-1]
    header: Header | None = None
    result: RunResult | None = None
    for number, line in enumerate(lines):
        try:
            data = json.loads(line)
            if number == 0:
                started_at = datetime.fromisoformat(data["started_at"])
                header = Header(int(data["shim"]), started_at, str(data.get("boot", "")))
            else:
                result = _parse_result(path.name, data)
        except (ValueError, TypeError, KeyError):
            continue
    return header, result


def _parse_result(run_id: str, data: dict[str, Any]) -> RunResult:
    state, why = data["state"], _parse_reason(data["reason"])
    if state not in set(RunState):  # written by a newer version
        why = reason(Code.UNKNOWN_STATE, cause=why, state=str(state))
        state = RunState.FAILED if data["exit_code"] or data["signal"] else RunState.LOST
    return RunResult(
        run_id=run_id,
        state=RunState(state),
        finished_at=datetime.fromisoformat(data["finished_at"]),
        started_at=datetime.fromisoformat(data["started_at"]) if data["started_at"] else None,
        reason=why,
        exit_code=data["exit_code"],
        signal=data["signal"],
        cpu_seconds=data["cpu_seconds"],
        peak_memory_bytes=data["peak_memory_bytes"],
        log_start=data["log_start"],
        log_end=data["log_end"],
    )


def _parse_reason(data: dict[str, Any] | str | None) -> Reason | None:
    if isinstance(data, str):  # written by a shim of an earlier version
        return text_reason(data) if data else None
    return Reason.from_dict(data) if data is not None else None


def has_live_shim(path: Path) -> bool:
    """Return whether the shim of this run is alive. Raises FileNotFoundError."""
    return file_lock.is_locked(path)
