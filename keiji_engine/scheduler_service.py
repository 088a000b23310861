"""The scheduler: sleeps until something is due, asks the planner, and applies its decisions to the state.

Rescheduling, which also directives need, is here too: it works without a running scheduler.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from keiji.errors import KeijiError, TaskNotFound
from keiji.reasons import Reason
from keiji.records import Claim, Task
from keiji.schedule import Interval
from keiji.settings import Settings
from keiji.states import OPEN, RunState, Trigger
from keiji_engine.logs.service_log import log_task
from keiji_engine.scheduler.backlog import close_backlog
from keiji_engine.scheduler.clock_changes import SetBack, move_schedule, set_back_tasks
from keiji_engine.scheduler.model import Conditions, Plan, SchedulerView, is_held_back
from keiji_engine.scheduler.planner import plan
from keiji_engine.state import EngineState
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.transactions import Operation, Transaction

# The wall clock may be set, or the machine may have slept: no wait is longer than this, in seconds.
MAX_WAIT = 1.0
# NTP corrects clocks in small steps, also backwards; a larger step back is a set-back.
SET_BACK = timedelta(seconds=1)
_CHUNK = 200  # tasks per transaction, so that no directive waits long

_log = logging.getLogger("keiji.scheduler")


class State(Protocol):
    """What the scheduler needs of `EngineState`."""

    def scheduler_view(self, now: datetime, conditions: Conditions) -> SchedulerView: ...

    async def apply(self, *operations: Operation) -> Changes: ...


class SchedulerService:
    """The service.

    Args:
        stop_run: requests that a live run stops, for a reason; does not wait.
        conditions: called for each plan, since a reload or a directive may change them.
        on_set_back: called with the time seen last if the clock was set back, before the next plan.
    """

    def __init__(
        self,
        state: State,
        *,
        stop_run: Callable[[str, Reason], None],
        conditions: Callable[[], Conditions],
        on_set_back: Callable[[datetime], Awaitable[None]],
        clock: Callable[[], datetime],
    ) -> None:
        self._state = state
        self._stop_run = stop_run
        self._conditions = conditions
        self._on_set_back = on_set_back
        self._clock = clock
        self._wakeup = asyncio.Event()
        self._last_seen: datetime | None = None

    def wake(self) -> None:
        """Plan again at once: the state changed."""
        self._wakeup.set()

    async def serve(self, ready: Callable[[], None]) -> None:
        """Schedule until cancelled."""
        _log.info("running start function")
        ready()
        while True:
            self._wakeup.clear()
            await self._sleep(await self.step())

    async def step(self) -> float:
        """Decide and act once; return for how many seconds there is nothing to do unless `wake` is called."""
        try:
            await self._check_clock()
        except KeijiError as error:
            _log.error("the clock was set back, and tasks could not be rescheduled yet: %s", error.message)
            return MAX_WAIT
        now = self._clock()
        conditions = self._conditions()
        decided = plan(self._state.scheduler_view(now, conditions), now, conditions)
        if decided and await self._apply(decided, now):
            return 0.0
        return self._wait_for(decided.wake_at, is_stuck=bool(decided))

    async def _apply(self, decided: Plan, now: datetime) -> bool:
        """Apply a plan; return whether anything changed."""
        changes = None
        if decided.tasks:
            try:
                changes = await self._state.apply(partial(execute_plan, plan=decided, now=now))
            except KeijiError as error:
                _log.error("%s could not be recorded, trying again: %s", _summary(decided), error.message)
                return False
        for run_id, reason in decided.stop:
            self._stop_run(run_id, reason)
        return bool(changes)

    def _wait_for(self, wake_at: datetime | None, *, is_stuck: bool) -> float:
        """Return how long to wait for the next due instant.

        A plan that changed nothing is outdated, or cannot be executed: it is not tried again at once.
        """
        seconds = MAX_WAIT if wake_at is None else (wake_at - self._clock()).total_seconds()
        if seconds <= 0:
            return MAX_WAIT if is_stuck else 0.0
        return min(seconds, MAX_WAIT)

    async def _check_clock(self) -> None:
        now, seen = self._clock(), self._last_seen
        if seen is not None and now < seen - SET_BACK:
            _log.warning("the clock was set back by %s", seen - now)
            await self._on_set_back(seen)
        self._last_seen = now

    async def _sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wakeup.wait()


def _summary(decided: Plan) -> str:
    names = decided.claimed_tasks
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"occurrences of {shown}" if names else "runs that are due"


# ── executing a plan ─────────────────────────────────────────────────────────────────────────────────────────────────


def execute_plan(transaction: Transaction, *, plan: Plan, now: datetime) -> None:
    """Record a plan, except for tasks that have changed since it was made.

    A directive may have disabled, paused, rescheduled or deleted a task, run it, or cancelled its queued runs. Such a
    task is left out, and planned again.
    """
    tasks = {
        slug: task for slug, task in plan.tasks.items() if not transaction.revisions.has_changed(slug, plan.revision)
    }
    pause = transaction.system.pause()
    held_back = {slug for slug, task in tasks.items() if is_held_back(task, pause)}
    left_out = {claim.task for claim in plan.claims if claim.task in held_back and claim.state in OPEN}
    claims = [claim for claim in plan.claims if claim.task in tasks and claim.task not in left_out]
    transaction.runs.claim(claims, now, locked=tasks)
    for run, reason in plan.skip:
        if run.task in tasks:
            transaction.runs.skip_queued(run.run_id, reason, now)
    starting = [
        run for run in plan.start if run.task in tasks and (run.task not in held_back or run.trigger is Trigger.MANUAL)
    ]
    transaction.runs.start_all_queued(starting, tasks, now)


# ── rescheduling ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def close_overdue(state: EngineState, task: Task, run_state: RunState, reason: Reason, now: datetime) -> Task:
    """Record all instants of a task that are due at ``now`` as not run; return the task as it is then.

    A caller that reschedules the task must do so at the same ``now``, so that no instant is lost in between. Raises
    TaskNotFound if the task was deleted in the meantime.
    """
    while claims := close_backlog(task, now, run_state, reason):
        await state.apply(partial(_claim, claims=claims, now=now))
        current = state.task(task.slug)
        if current is None:
            raise TaskNotFound.named(task.slug)
        task = current
    return task


def _claim(transaction: Transaction, *, claims: Sequence[Claim], now: datetime) -> None:
    transaction.runs.claim(claims, now)


async def move_to_zone(state: EngineState, settings: Settings, now: datetime) -> None:
    """Move the schedules of all tasks to the zone of the settings."""
    zone = settings.time_zone

    def move(transaction: Transaction, *, slugs: Sequence[str]) -> None:
        for task in transaction.tasks.lock(slugs).values():
            if task.schedule is not None:
                schedule, next_at = move_schedule(task, task.policy, zone, now)
                if schedule != task.schedule:
                    transaction.tasks.reschedule(task.slug, schedule, next_at)

    def needs_move(task: Task) -> bool:
        return task.schedule is not None and move_schedule(task, task.policy, zone, now)[0] != task.schedule

    slugs = [task.slug for task in state.tasks() if needs_move(task)]
    for start in range(0, len(slugs), _CHUNK):
        changes = await state.apply(partial(move, slugs=slugs[start : start + _CHUNK]))
        for task in changes.tasks.values():
            log_schedule(task, settings)


async def apply_set_back(state: EngineState, settings: Settings, seen: datetime, now: datetime) -> None:
    """Continue from ``now``, after the clock was set back from ``seen``.

    An instant that ran does not run again, since it has a row. Other instants that lie ahead again are due again. The
    remaining waits of queued runs stay as they were. A task that a directive has rescheduled is left alone.
    """

    def set_back(transaction: Transaction, *, moves: Sequence[SetBack]) -> None:
        for move in moves:
            transaction.history.apply_set_back(
                move.task.slug,
                now,
                expected=move.expected,
                schedule=move.schedule,
                next_at=move.next_at,
                recount=partial(move.recount, now=now),
            )

    moves = list(set_back_tasks(state.tasks(), settings.time_zone, now))
    for start in range(0, len(moves), _CHUNK):
        changes = await state.apply(partial(set_back, moves=moves[start : start + _CHUNK]))
        for task in changes.tasks.values():
            if not task.is_disabled:
                log_task(task.slug, "the clock was set back", logging.WARNING)
                log_schedule(task, settings)
    await state.apply(lambda transaction: transaction.runs.shorten_waits(now, seen))


async def check_recorded_clock(state: EngineState, settings: Settings, now: datetime) -> None:
    """Apply a set-back if the clock shows less than the newest moment in the database."""
    newest = await state.read(lambda transaction: transaction.history.newest_moment())
    if now < newest:
        _log.warning("the clock was set back: the newest record is of %s", newest)
        await apply_set_back(state, settings, newest, now)


def log_schedule(task: Task, settings: Settings) -> None:
    """Write the task's schedule to its log."""
    if task.schedule is None or task.next_at is None:
        return
    if isinstance(task.schedule, Interval):
        log_task(task.slug, f"task {task.name} interval: {task.schedule.interval} ({task.schedule.describe()})")
    else:
        local = task.next_at.astimezone(settings.zone)
        log_task(task.slug, f"Task Next Execution Time: {local:%Y-%m-%d %H:%M:%S %z %Z}")
