"""Finding out, from its file alone, what has become of a run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from keiji.reasons import Code, Reason, reason
from keiji.records import RunResult
from keiji.states import RunState
from keiji_engine.runner import run_file

_NO_TRACE = reason(Code.NO_TRACE)
_NO_RESULT = reason(Code.NO_RESULT)


@dataclass(slots=True)
class Alive:
    """A run whose shim is alive.

    Args:
        shim: its process id; for a signal only together with `run_file.is_held`.
        pidfd: refers to the shim for certain; None where the system has none.
    """

    started_at: datetime
    shim: int
    pidfd: int | None


def inspect(path: Path, now: datetime) -> Alive | RunResult | None:
    """Return the living shim of the run with this file, or how the run ended; None where there is no file."""
    try:
        head, result = run_file.read(path)
        if head is None or result is not None:
            return result or lost(path.name, now, _NO_RESULT)
        pidfd = _open(head.shim)
        # The lock is asked for after the pidfd was opened: if it is still held, the shim was alive when we opened it,
        # and its number was its own.
        if run_file.is_held(path):
            return Alive(head.started_at, head.shim, pidfd)
        if pidfd is not None:
            os.close(pidfd)
        head, result = run_file.read(path)
    except FileNotFoundError:
        return None
    return result or lost(path.name, now, _NO_RESULT, head.started_at if head else None)


def lost(run_id: str, now: datetime, why: Reason = _NO_TRACE, started_at: datetime | None = None) -> RunResult:
    """Return the result of a run of which nobody knows how it ended."""
    return RunResult(run_id=run_id, state=RunState.LOST, finished_at=now, started_at=started_at, reason=why)


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        # macOS has none; a container may forbid it; the process may have ended, which the lock will tell.
        return None
