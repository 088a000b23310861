"""Reasons that follow from the state of a task."""

from __future__ import annotations

from collections.abc import Sequence

from keiji.reasons import Code, Reason, reason
from keiji.records import Pause, Run, Task


def occupied(open_runs: Sequence[Run], task: Task) -> Reason:
    """Return why no further run of a task starts: one of its ``open_runs``, of which there is at least one."""
    for run in open_runs:
        if run.is_live:
            return reason(Code.STILL_RUNNING, since=run.started_at or run.created_at)
    run = open_runs[0]
    if run.attempt > 1:
        return reason(Code.RETRY_PENDING, attempt=run.attempt, tries=task.policy.retry.tries, at=run.due_at)
    return reason(Code.PREVIOUS_NOT_STARTED, cause=run.reason)


def held(task: Task) -> Reason:
    """Return why a task that is held does not run."""
    return reason(Code.HELD, since=task.held_at, failures=task.failures)


def paused(pause: Pause, *, is_global: bool) -> Reason:
    """Return why nothing starts during ``pause``, which is that of a task or, if global, of the whole system."""
    return reason(Code.PAUSED, since=pause.since, by=pause.by, note=pause.reason, all=is_global)
