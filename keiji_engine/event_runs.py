"""Runs for events, as operations on the database.

What an event was compared with is stored in the same transaction as its run, so that an event leads to exactly one run,
whenever the engine is killed: the id of the start of the machine that a task has run for, and the state of the files.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from keiji.machine import start_id
from keiji.policy import Overlap
from keiji.reasons import Code, Reason, reason
from keiji.records import Run, Task
from keiji.schedule import AtStart, OnChange, Schedule
from keiji.states import RunState, Trigger
from keiji_engine.file_patterns import Files, TooManyFiles, scan
from keiji_engine.scheduler.model import is_held_back
from keiji_engine.scheduler.reasons import held, paused
from keiji_engine.storage.transactions import Transaction

_SHOWN_FILES = 3
_START = "machine_start"  # the id of the start, and the tasks that have run for it


def patterns_of(schedule: Schedule | None) -> tuple[str, ...]:
    """Return the patterns of the files that trigger a task."""
    events = schedule.events if schedule is not None else ()
    return tuple(event.pattern for event in events if isinstance(event, OnChange))


def runs_at_start(schedule: Schedule | None) -> bool:
    """Return whether a task runs at each start of the machine."""
    return schedule is not None and any(isinstance(event, AtStart) for event in schedule.events)


# ── at start ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def run_at_start(
    transaction: Transaction, *, slugs: Collection[str], started: str, now: datetime, max_parallel: int | None
) -> None:
    """Add a run for each of these tasks that has not run since the machine started, and record that it has."""
    known = _ran_since(transaction, started)
    due = [task for task in transaction.tasks.all(slugs) if task.task_id not in known and runs_at_start(task.schedule)]
    for task in due:
        add_event_run(transaction, task, Trigger.AT_START, now, max_parallel=max_parallel)
    if due:
        _record_start(transaction, started, known | {task.task_id for task in due})


def _ran_since(transaction: Transaction, started: str) -> set[str]:
    stored = transaction.system.value(_START)
    return set(stored["tasks"]) if stored is not None and stored["id"] == started else set()


def _record_start(transaction: Transaction, started: str, tasks: Collection[str]) -> None:
    transaction.system.set_value(_START, {"id": started, "tasks": sorted(tasks)})


# ── on change ────────────────────────────────────────────────────────────────────────────────────────────────────────


def run_on_change(
    transaction: Transaction, *, slug: str, files: Files, now: datetime, max_parallel: int | None
) -> None:
    """Add a run of a task if files are new or changed compared with those that are stored, and store them.

    While the task is held back, nothing is stored, so that it runs afterwards. Files that were removed are no change.
    Raises TaskNotFound.
    """
    task = transaction.tasks.get(slug)
    patterns = patterns_of(task.schedule)
    if task.is_disabled or not patterns:
        return
    stored = _stored_files(transaction, task, patterns)
    changed = [path for path, state in sorted(files.items()) if stored is not None and stored.get(path) != state]
    if changed:
        if is_held_back(task, transaction.system.pause()):
            return
        why = reason(Code.FILES_CHANGED, files=_format_paths(changed))
        add_event_run(transaction, task, Trigger.ON_CHANGE, now, max_parallel=max_parallel, why=why)
    if files != stored:
        _store_files(transaction, task, patterns, files)


def _format_paths(paths: Sequence[str]) -> str:
    """Return "a.csv, b.csv, c.csv and 5 more"."""
    more = len(paths) - _SHOWN_FILES
    return ", ".join(paths[:_SHOWN_FILES]) + (f" and {more} more" if more > 0 else "")


def _stored_files(transaction: Transaction, task: Task, patterns: Sequence[str]) -> dict[str, str] | None:
    """Return the files that a task ran for last; None if nothing is stored for these patterns."""
    stored: dict[str, Any] | None = transaction.system.value(_files_key(task))
    if stored is None or stored["task"] != task.task_id or stored["patterns"] != list(patterns):
        return None
    return dict(stored["files"])


def _store_files(transaction: Transaction, task: Task, patterns: Sequence[str], files: Files) -> None:
    value = {"task": task.task_id, "patterns": list(patterns), "files": dict(files)}
    transaction.system.set_value(_files_key(task), value)


def _files_key(task: Task) -> str:
    return f"files_{task.id}"


# ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def add_event_run(
    transaction: Transaction,
    task: Task,
    trigger: Trigger,
    now: datetime,
    *,
    max_parallel: int | None,
    why: Reason | None = None,
) -> Run | None:
    """Add a run of a task for an event: it starts, waits, or is recorded as skipped if the task is paused or held.

    An event during a run leads to one more run, whatever the number of events: with ``overlap="skip"`` and ``"queue"``
    after the live one, with ``"replace"`` in its place, with ``"allow"`` beside it. Nothing is added if the task is
    disabled, broken, not built, or outside the bounds of its policy, or if a run of such an event is waiting already.
    """
    context = task.schedule.context if task.schedule is not None else None
    if context is None or task.build is None or task.is_disabled or task.broken is not None:
        return None
    is_early = context.not_before is not None and now < context.not_before
    if is_early or (context.until is not None and now > context.until):
        return None
    add = partial(transaction.runs.insert_event, task.slug, trigger, now)
    pause = task.pause or transaction.system.pause()
    if task.held_at is not None:
        return add(state=RunState.SKIPPED, reason=held(task))
    if pause is not None:
        return add(state=RunState.SKIPPED, reason=paused(pause, is_global=task.pause is None))
    own = transaction.runs.open([task.slug])
    queued = [run for run in own if run.state is RunState.QUEUED and run.trigger is not Trigger.BACKFILL]
    if any(run.trigger is trigger for run in queued):
        return None
    waits, start = _waits_for(task, [run for run in own if run.is_live], queued), task.start_time(now)
    if start > now:
        waits = reason(Code.JITTER, at=start)
    elif waits is None and max_parallel is not None and transaction.runs.count_live() >= max_parallel:
        waits = reason(Code.WAITING_FOR_SLOT, limit=max_parallel)
    if waits is None:
        run = add(state=RunState.STARTING, reason=why)
    else:
        combined = why.with_cause(waits) if why is not None else waits
        run = add(state=RunState.QUEUED, reason=combined, due_at=start)
    if task.policy.overlap is Overlap.REPLACE:
        for other in queued:
            transaction.runs.skip_queued(other.run_id, reason(Code.REPLACED, due=now), now)
    return run


def _waits_for(task: Task, live: Sequence[Run], queued: Sequence[Run]) -> Reason | None:
    """Return why a run for an event waits for other open runs of its task; None if it does not."""
    if task.policy.overlap is Overlap.ALLOW:
        limit = task.policy.max_parallel
        return reason(Code.PARALLEL_LIMIT, live=len(live), limit=limit) if limit and len(live) >= limit else None
    if task.policy.overlap is Overlap.REPLACE:
        return reason(Code.WAITING_FOR_PREVIOUS) if live else None
    return reason(Code.WAITING_FOR_PREVIOUS) if live or queued else None


# ── when a task is built, enabled, disabled or deleted ───────────────────────────────────────────────────────────────


def current_files(schedule: Schedule) -> dict[str, str]:
    """Return the files that a schedule waits for, as they are now. Blocks."""
    try:
        return scan(patterns_of(schedule))
    except TooManyFiles:
        return {}  # the service reports it


def begin(transaction: Transaction, task: Task, former: Schedule | None, files: Files) -> None:
    """Record that events up to now do not run a task: it has just got its schedule, or has been enabled.

    Args:
        former: its schedule before, whose events are awaited already; None if none are.
        files: those that its schedule waits for, as they are now.
    """
    patterns = patterns_of(task.schedule)
    if patterns and patterns != patterns_of(former):
        _store_files(transaction, task, patterns, files)
    elif not patterns:
        forget(transaction, task)
    if runs_at_start(task.schedule) and not runs_at_start(former) and (started := start_id()):
        _record_start(transaction, started, _ran_since(transaction, started) | {task.task_id})


def forget(transaction: Transaction, task: Task) -> None:
    """Remove what is stored about the files of a task, which is disabled or deleted."""
    transaction.system.set_value(_files_key(task), None)
