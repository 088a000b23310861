"""Determines the state of a run from its run file alone."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from keiji import machine
from keiji.reasons import Code, Reason, reason
from keiji.records import RunResult
from keiji.states import RunState
from keiji_engine.runner import run_file

_NO_TRACE = reason(Code.NO_TRACE)
_NO_RESULT = reason(Code.NO_RESULT)
_REBOOTED = reason(Code.MACHINE_REBOOTED)


@dataclass(slots=True)
class LiveRun:
    """A run whose shim is alive.

    Args:
        shim: pid of the shim; before sending it a signal, check `run_file.has_live_shim`, since pids are reused.
        pidfd: refers to the shim and never to another process; None if the system does not support pidfds.
    """

    started_at: datetime
    shim: int
    pidfd: int | None


def open_pidfd(pid: int) -> int | None:
    """Return a pidfd for the process.

    None if it has ended, if the system has no pidfds (macOS, some containers), or if half of the engine's descriptors
    are taken: its files and sockets need the others, and a run can be watched without a pidfd.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and pidfd >= limit // 2:  # numbers are assigned from 0
        os.close(pidfd)
        return None
    return pidfd


def inspect(
    path: Path, now: datetime, open_pidfd: Callable[[int], int | None] = open_pidfd
) -> LiveRun | RunResult | None:
    """Return the run with this run file if it is live, or its result; None if there is no such file.

    Args:
        now: recorded as the end of a run that is lost.
    """
    try:
        header, result = run_file.read(path)
        if header is None or result is not None:
            return result or lost_result(path.name, now, _NO_RESULT)
        pidfd = open_pidfd(header.shim)
        # Check the lock after opening the pidfd: if it is still held, the shim was alive when the pidfd was opened, so
        # the pid had not been reused.
        if run_file.has_live_shim(path):
            return LiveRun(header.started_at, header.shim, pidfd)
        if pidfd is not None:
            os.close(pidfd)
        header, result = run_file.read(path)
    except FileNotFoundError:
        return None
    if result is not None or header is None:
        return result or lost_result(path.name, now, _NO_RESULT)
    cause = _REBOOTED if machine.has_rebooted_since(header.boot) else _NO_RESULT
    return lost_result(path.name, now, cause, header.started_at)


def lost_result(
    run_id: str, finished_at: datetime, cause: Reason = _NO_TRACE, started_at: datetime | None = None
) -> RunResult:
    """Return the result of a run whose outcome is unknown."""
    return RunResult(run_id=run_id, state=RunState.LOST, finished_at=finished_at, started_at=started_at, reason=cause)
