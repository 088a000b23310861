"""Backfills: their instants, and how many of them may start now. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile

from keiji.policy import Overlap
from keiji.reasons import Code, Reason, reason
from keiji.records import Backfill, Run, Task
from keiji.schedule import Schedule
from keiji_engine.scheduler.model import Conditions
from keiji_engine.scheduler.reasons import held, paused
from keiji_engine.scheduler.task_runs import TaskRuns, due_of

MAX_INSTANTS = 10_000  # of one backfill
MAX_STARTS = 50  # of one backfill per step of the scheduler
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class RunningBackfill:
    """A running backfill with its task and the open runs of that."""

    backfill: Backfill
    task: Task
    runs: TaskRuns


@dataclass(frozen=True, slots=True)
class BackfillStep:
    """What a backfill does now.

    Args:
        start: runs to start whose retries are due.
        count: maximum number of further instants to start.
    """

    backfill: Backfill
    task: Task
    start: tuple[Run, ...] = ()
    count: int = 0


def instants_between(schedule: Schedule, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the instants of a schedule from ``begin`` to ``end`` inclusive, with their daylight saving rules."""
    return takewhile(lambda instant: instant <= end, schedule.upcoming(begin - _TICK))


def reach_back(schedule: Schedule, begin: datetime) -> Schedule:
    """Return the schedule such that it has instants from ``begin``.

    An interval is counted from the moment at which its task was built or restarted. Its instants before that are those
    on the same grid.
    """
    period, anchor = schedule.anchored_period, schedule.context.anchor
    if not period or begin > anchor:
        return schedule
    try:
        anchor -= ((anchor - begin) // period + 1) * period
    except OverflowError:  # several intervals that never coincide
        return schedule
    return schedule.with_context(replace(schedule.context, anchor=anchor))


def plan_backfills(
    states: tuple[RunningBackfill, ...], live: int, now: datetime, conditions: Conditions
) -> tuple[tuple[BackfillStep, ...], datetime | None]:
    """Return what the running backfills do at ``now``, and when the next retry among their runs is due.

    The occurrences of the schedule come first: this is called when they are decided.

    Args:
        live: number of live runs of all tasks.
    """
    steps: list[BackfillStep] = []
    wake_times: list[datetime] = []
    for state in states:
        retries = sorted(_retries(state), key=lambda run: (due_of(run), run.run_id))
        wake_times += [due_of(run) for run in retries if due_of(run) > now][:1]
        free = 0 if obstacle(state, live, now, conditions) is not None else _free(state, live, now, conditions)
        due = [run for run in retries if due_of(run) <= now][:free]
        count = 0
        if state.backfill.next_at is not None:
            count = max(min(free - len(due), state.backfill.parallel - state.backfill.open), 0)
        if due or count:
            steps.append(BackfillStep(state.backfill, state.task, tuple(due), count))
            live += len(due) + count
    return tuple(steps), min(wake_times, default=None)


def obstacle(state: RunningBackfill, live: int, now: datetime, conditions: Conditions) -> Reason | None:
    """Return why a running backfill starts no run now; None if it may start one, or waits for its own runs."""
    task, pause = state.task, state.task.pause or conditions.pause
    if not conditions.can_run:
        return reason(Code.RUNNER_STOPPED)
    if task.broken is not None:
        return task.broken
    if task.is_disabled:
        return reason(Code.DISABLED)
    if task.held_at is not None:
        return held(task)
    if pause is not None:
        return paused(pause, is_global=task.pause is None)
    if _free_of_policy(state, now) <= 0 and len(_own_live(state)) < state.backfill.parallel:
        if task.policy.overlap is Overlap.ALLOW:
            return reason(Code.PARALLEL_LIMIT, live=len(state.runs.live), limit=task.policy.max_parallel)
        return reason(Code.WAITING_FOR_PREVIOUS)
    if conditions.max_parallel is not None and live >= conditions.max_parallel and not _own_live(state):
        return reason(Code.WAITING_FOR_SLOT, limit=conditions.max_parallel)
    return None


def _free(state: RunningBackfill, live: int, now: datetime, conditions: Conditions) -> int:
    """Return how many runs may start as far as the limits of the task and of the engine are concerned."""
    free = min(_free_of_policy(state, now), MAX_STARTS)
    if conditions.max_parallel is not None:
        free = min(free, conditions.max_parallel - live)
    return max(free, 0)


def _free_of_policy(state: RunningBackfill, now: datetime) -> int:
    """Return how many runs may start beside the other runs of the task. Those of its schedule go first."""
    policy, runs = state.task.policy, state.runs
    if policy.overlap is not Overlap.ALLOW:
        return 0 if runs.live or runs.is_occupied else 1
    if policy.max_parallel is None:
        return MAX_STARTS
    return policy.max_parallel - len(runs.live) - runs.count_due(now)


def _retries(state: RunningBackfill) -> Iterator[Run]:
    return (run for run in state.runs.backfill_queue.values() if run.series == state.backfill.series)


def _own_live(state: RunningBackfill) -> list[Run]:
    return [run for run in state.runs.live.values() if run.series == state.backfill.series]
