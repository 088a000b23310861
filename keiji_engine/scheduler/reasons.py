"""Reasons that follow from the state of a task."""

from __future__ import annotations

from datetime import datetime

from keiji.reasons import Code, Reason, reason
from keiji.records import Pause, Run, Task
from keiji.states import REQUESTED
from keiji_engine.scheduler.task_runs import TaskRuns


def occupied(runs: TaskRuns, task: Task, instant: datetime) -> Reason:
    """Return why no run for ``instant`` starts: one of the open runs of its task, of which there is at least one.

    A run of a backfill is no reason.
    """
    regular = runs.regular_live
    if regular:
        live = regular[min(regular)]
        since = live.started_at or live.created_at
        if since <= instant:
            return reason(Code.STILL_RUNNING, since=since)
        return reason(Code.STARTED_MEANWHILE, at=since)
    queued = runs.first_queued
    assert queued is not None, "there is an open run"
    if queued.attempt > 1:
        return reason(Code.RETRY_PENDING, attempt=queued.attempt, tries=task.policy.retry.tries, at=queued.due_at)
    return reason(Code.PREVIOUS_NOT_STARTED, cause=queued.reason)


def replaced_by(run: Run) -> Reason:
    """Return why another run of the same task is replaced by a queued one."""
    if run.trigger in REQUESTED:
        return reason(Code.REPLACED, due=run.created_at, manual=True)
    return reason(Code.REPLACED, due=run.due_at or run.created_at)


def held(task: Task) -> Reason:
    """Return why a task that is held does not run."""
    return reason(Code.HELD, since=task.held_at, failures=task.failures)


def paused(pause: Pause, *, is_global: bool) -> Reason:
    """Return why nothing starts during ``pause``, which is that of a task or, if global, of the whole system."""
    return reason(Code.PAUSED, since=pause.since, by=pause.by, note=pause.reason, all=is_global)
