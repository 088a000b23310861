"""The scheduler: sleeps until something is due, asks the planner, and applies its decisions to the state.

Rescheduling, which also directives need, is here too: it works without a running scheduler.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol
from zoneinfo import ZoneInfo

from keiji.errors import KeijiError, TaskNotFound
from keiji.policy import Policy
from keiji.reasons import Reason
from keiji.records import Claim, Task
from keiji.schedule import Interval, Schedule
from keiji.settings import Settings
from keiji.states import OPEN, REQUESTED, RunState
from keiji_engine.logs.service_log import log_task
from keiji_engine.scheduler.backfill import BackfillStep, RunningBackfill, plan_backfills
from keiji_engine.scheduler.backlog import LATE_AFTER, close_backlog
from keiji_engine.scheduler.clock_changes import (
    SET_BACK,
    ClockRecord,
    FormerPlace,
    SetBack,
    move_schedule,
    set_back_tasks,
)
from keiji_engine.scheduler.model import Conditions, Plan, SchedulerView, is_held_back
from keiji_engine.scheduler.planner import plan
from keiji_engine.state import EngineState
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.transactions import Operation, Transaction

# The wall clock may be set, or the machine may have slept: no wait is longer than this, in seconds.
MAX_WAIT = 1.0
_CHUNK = 200  # tasks per transaction, so that no directive waits long

_log = logging.getLogger("keiji.scheduler")


class State(Protocol):
    """What the scheduler needs of `EngineState`."""

    def scheduler_view(self, now: datetime, conditions: Conditions) -> SchedulerView: ...

    def running_backfills(self) -> tuple[tuple[RunningBackfill, ...], int, int]: ...

    async def apply(self, *operations: Operation) -> Changes: ...


class SchedulerService:
    """The service.

    Args:
        stop_run: requests that a live run stops, for a reason; does not wait.
        conditions: called for each plan, since a reload or a directive may change them.
        on_set_back: called with the time seen last if the clock was set back, before the next plan.
        on_set_forward: called likewise if the clock was set forward, or the machine was suspended, by over a minute.
    """

    def __init__(
        self,
        state: State,
        *,
        stop_run: Callable[[str, Reason], None],
        conditions: Callable[[], Conditions],
        on_set_back: Callable[[datetime], Awaitable[None]],
        on_set_forward: Callable[[datetime], Awaitable[None]],
        clock: Callable[[], datetime],
    ) -> None:
        self._state = state
        self._stop_run = stop_run
        self._conditions = conditions
        self._on_set_back = on_set_back
        self._on_set_forward = on_set_forward
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
            _log.error("the clock was set, and tasks could not be rescheduled yet: %s", error.message)
            return MAX_WAIT
        now = self._clock()
        conditions = self._conditions()
        decided = plan(self._state.scheduler_view(now, conditions), now, conditions)
        has_changed = bool(decided) and await self._apply(decided, now)
        retry_at, has_started = await self._advance_backfills(now, conditions)
        if has_changed or has_started:
            return 0.0
        wake_at = min(filter(None, (decided.wake_at, retry_at)), default=None)
        return self._wait_for(wake_at, is_stuck=bool(decided))

    async def _advance_backfills(self, now: datetime, conditions: Conditions) -> tuple[datetime | None, bool]:
        """Start what backfills may start now; return when one of their retries is due, and whether anything changed."""
        states, live, revision = self._state.running_backfills()
        steps, wake_at = plan_backfills(states, live, now, conditions)
        if not steps:
            return wake_at, False
        try:
            execute = partial(execute_backfills, steps=steps, revision=revision, now=now)
            return wake_at, bool(await self._state.apply(execute))
        except KeijiError as error:
            names = ", ".join(step.task.name for step in steps)
            _log.error("the backfill of %s could not be recorded, trying again: %s", names, error.message)
            return wake_at, False

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
        elif seen is not None and now > seen + LATE_AFTER:
            await self._on_set_forward(seen)
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
    transaction.runs.claim(claims, now, locked=tasks, ahead_until=_ahead_until(transaction))
    for run, reason in plan.skip:
        if run.task in tasks:
            transaction.runs.skip_queued(run.run_id, reason, now)
    starting = [
        run for run in plan.start if run.task in tasks and (run.task not in held_back or run.trigger in REQUESTED)
    ]
    transaction.runs.start_all_queued(starting, tasks, now)


def execute_backfills(transaction: Transaction, *, steps: Sequence[BackfillStep], revision: int, now: datetime) -> None:
    """Record what backfills start, except for tasks that have changed since ``revision``."""
    pause = transaction.system.pause()
    for step in steps:
        task = step.task
        if transaction.revisions.has_changed(task.slug, revision) or is_held_back(task, pause):
            continue
        transaction.runs.start_all_queued(step.start, {task.slug: task}, now)
        if step.count:
            transaction.runs.claim_backfill(step.backfill.id, step.count, now)


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
    transaction.runs.claim(claims, now, ahead_until=_ahead_until(transaction))


def _read_zones_again(zones: Collection[str]) -> None:
    """Use the present zone files of the system, unless one of them cannot be read, as in the middle of an update."""
    for zone in sorted(zones):
        try:
            ZoneInfo.no_cache(zone)
        except (OSError, ValueError, LookupError, struct.error) as error:
            _log.error("the file of the time zone %s cannot be read, the former rules stay in use: %s", zone, error)
            return
    ZoneInfo.clear_cache()


async def move_to_zone(state: EngineState, settings: Settings, now: datetime) -> None:
    """Move the schedules of all tasks to the zone of the settings, by its present rules.

    Their policies get the present defaults of the workspace.
    """
    zone = settings.time_zone
    tasks = state.tasks()

    def moved(task: Task) -> tuple[Policy, Schedule | None, datetime | None]:
        build = state.build(task.slug)
        policy = task.policy if build is None else build.policy.with_defaults(state.defaults.policy)
        if task.schedule is None:
            return policy, None, task.next_at
        return policy, *move_schedule(task, policy, zone, now)

    def move(transaction: Transaction, *, slugs: Sequence[str]) -> None:
        for task in transaction.tasks.lock(slugs).values():
            policy, schedule, next_at = moved(task)
            if not _is_same(policy, task.policy):
                transaction.tasks.set_policy(task.slug, policy)
            if schedule is not None and (schedule, next_at) != (task.schedule, task.next_at):
                transaction.tasks.reschedule(task.slug, schedule, next_at)

    def needs_move(task: Task) -> bool:
        policy, schedule, next_at = moved(task)
        return not _is_same(policy, task.policy) or (schedule, next_at) != (task.schedule, task.next_at)

    def find_moved() -> list[str]:
        _read_zones_again({zone, *(task.schedule.context.zone for task in tasks if task.schedule is not None)})
        return [task.slug for task in tasks if task.broken is None and needs_move(task)]

    slugs = await asyncio.to_thread(find_moved)
    for start in range(0, len(slugs), _CHUNK):
        changes = await state.apply(partial(move, slugs=slugs[start : start + _CHUNK]))
        for task in changes.tasks.values():
            log_schedule(task, settings)


def _is_same(policy: Policy, other: Policy) -> bool:
    return policy == other and policy.given == other.given


# ── the clock is set ─────────────────────────────────────────────────────────────────────────────────────────────────

_CLOCK_RECORD = "clock_set_back"
_FORMER_PLACES = "clock_set_back_tasks"


async def apply_set_back(state: EngineState, settings: Settings, seen: datetime, now: datetime) -> None:
    """Continue from ``now``, after the clock was set back from ``seen``.

    An instant that ran does not run again, since it has a row. Other instants that lie ahead again are due again. The
    remaining waits of queued runs stay as they were. That all this is done is recorded, so that it is done once.
    """
    record, places = await state.read(_stored_set_back)
    moves = list(set_back_tasks(state.tasks(), settings.time_zone, now))
    places |= {move.task.slug: FormerPlace.of(move, places.get(move.task.slug)) for move in moves}
    until = max(record.until, seen) if record is not None else seen
    incomplete = ClockRecord(until, now, is_complete=False)

    def begin(transaction: Transaction) -> None:
        _store_set_back(transaction, incomplete)
        transaction.system.set_value(_FORMER_PLACES, {slug: place.to_list() for slug, place in places.items()})

    def complete(transaction: Transaction) -> None:
        transaction.runs.shorten_waits(now, seen)
        _store_set_back(transaction, replace(incomplete, is_complete=True))

    await state.apply(begin)
    for start in range(0, len(moves), _CHUNK):
        changes = await state.apply(partial(_move_tasks, moves=moves[start : start + _CHUNK]))
        for task in changes.tasks.values():
            log_task(task.slug, "the clock was set back", logging.WARNING)
            log_schedule(task, settings)
    await state.apply(complete)


def _move_tasks(transaction: Transaction, *, moves: Sequence[SetBack]) -> None:
    """Reschedule tasks, unless a directive has rescheduled them in the meantime."""
    tasks = transaction.tasks.lock([move.task.slug for move in moves])
    for move in moves:
        task = tasks.get(move.task.slug)
        if task is not None and task.next_at == move.expected:
            transaction.tasks.reschedule(task.slug, move.schedule, move.next_at)


async def apply_set_forward(state: EngineState, settings: Settings, seen: datetime, now: datetime) -> None:
    """Continue from ``now``, after the clock was set forward from ``seen``.

    If this undoes a set-back, each task continues where it was before: its history up to there is complete. Otherwise
    there is nothing to do: it counts as downtime.
    """
    record, places = await state.read(_stored_set_back)
    if record is None or not record.is_undone(seen, now):
        return
    _log.warning("the clock was put right; it had been set back from %s", record.until)
    slugs = list(places)
    for start in range(0, len(slugs), _CHUNK):
        part = {slug: places[slug] for slug in slugs[start : start + _CHUNK]}
        changes = await state.apply(partial(_restore_places, places=part, until=record.until))
        for task in changes.tasks.values():
            log_schedule(task, settings)
    await state.apply(_forget_set_back)


def _restore_places(transaction: Transaction, *, places: dict[str, FormerPlace], until: datetime) -> None:
    for slug, task in transaction.tasks.lock(places).items():
        restored = places[slug].restore(task, until)
        if restored is not None:
            transaction.tasks.reschedule(slug, *restored)


async def check_recorded_clock(state: EngineState, settings: Settings, now: datetime) -> None:
    """Compare the clock with the records of earlier engines, and apply a set-back or a correction."""
    newest = await state.read(lambda transaction: transaction.history.newest_moment())
    record = await state.read(set_back_record)
    if record is not None and not record.is_complete:
        await apply_set_back(state, settings, record.until, now)
    elif record is not None and now < record.at - SET_BACK:
        _log.warning("the clock was set back: it was %s before", record.at)
        await apply_set_back(state, settings, record.at, now)
    elif now < newest - SET_BACK and (record is None or newest > record.until + SET_BACK):
        _log.warning("the clock was set back: the newest record is of %s", newest)
        await apply_set_back(state, settings, newest, now)
    elif record is not None:
        await apply_set_forward(state, settings, record.at, now)
        await note_clock(state, now)


async def note_clock(state: EngineState, now: datetime) -> None:
    """Record the reading of the clock if it was set back, from time to time, so that the next engine can compare."""
    record = await state.read(set_back_record)
    if record is None:
        return
    if record.is_outdated(now):
        await state.apply(_forget_set_back)
    elif now > record.at:
        await state.apply(lambda transaction: _store_set_back(transaction, replace(record, at=now)))


def set_back_record(transaction: Transaction) -> ClockRecord | None:
    """Return the set-back that the clock has not caught up with; None if there is none."""
    return ClockRecord.from_dict(transaction.system.value(_CLOCK_RECORD))


def _stored_set_back(transaction: Transaction) -> tuple[ClockRecord | None, dict[str, FormerPlace]]:
    stored = transaction.system.value(_FORMER_PLACES) or {}
    return set_back_record(transaction), {slug: FormerPlace.from_list(data) for slug, data in stored.items()}


def _store_set_back(transaction: Transaction, record: ClockRecord) -> None:
    transaction.system.set_value(_CLOCK_RECORD, record.to_dict())


def _forget_set_back(transaction: Transaction) -> None:
    transaction.system.set_value(_CLOCK_RECORD, None)
    transaction.system.set_value(_FORMER_PLACES, None)


def ran_ahead(transaction: Transaction, *, now: datetime) -> dict[str, set[datetime]]:
    """Return the instants after ``now`` that have run already, by task. There are some after a set-back."""
    return transaction.runs.ran_after(now) if set_back_record(transaction) is not None else {}


def _ahead_until(transaction: Transaction) -> datetime | None:
    """Return up to when there may be rows ahead of the clock; None if it was not set back."""
    record = set_back_record(transaction)
    return record.until if record is not None else None


def log_schedule(task: Task, settings: Settings) -> None:
    """Write the task's schedule to its log."""
    if task.schedule is None or task.next_at is None:
        return
    if isinstance(task.schedule, Interval):
        log_task(task.slug, f"task {task.name} interval: {task.schedule.interval} ({task.schedule.describe()})")
    else:
        zone = ZoneInfo(task.policy.tz) if task.policy.tz else settings.zone
        local = task.next_at.astimezone(zone)
        log_task(task.slug, f"Task Next Execution Time: {local:%Y-%m-%d %H:%M:%S %z %Z}")
