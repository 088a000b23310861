"""The loop of the scheduler: it applies plans, does not spin on those that change nothing, and detects set-backs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import datetime

import pytest
from planning import at, make_agenda, make_run, make_task, make_task_with_policy, queued, running

from keiji.errors import KeijiError, StorageError
from keiji.reasons import Code, Reason, reason
from keiji.records import Run, Task
from keiji.states import RunState
from keiji_engine.scheduler.backfill import RunningBackfill
from keiji_engine.scheduler.model import Conditions, SchedulerView
from keiji_engine.scheduler_service import MAX_WAIT, SchedulerService
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.transactions import Operation

UNREACHABLE = StorageError("the database cannot be reached")


class MemoryState:
    """A state of one task; it accepts operations without executing them.

    Args:
        changes: what each accepted operation changes.
        error: raised instead, if any.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.open_runs: tuple[Run, ...] = ()
        self.next_at: datetime | None = None
        self.changes = Changes(runs={"r1": make_run(RunState.STARTING)})
        self.error: KeijiError | None = None
        self.applied = 0

    def scheduler_view(self, now: datetime, conditions: Conditions) -> SchedulerView:
        view = make_agenda([self.task], self.open_runs).view(now, conditions)
        return replace(view, next_at=min(filter(None, (view.next_at, self.next_at)), default=None))

    def running_backfills(self) -> tuple[tuple[RunningBackfill, ...], int, int]:
        return (), 0, 0

    async def apply(self, *operations: Operation) -> Changes:
        if self.error is not None:
            raise self.error
        self.applied += len(operations)
        return self.changes


class Scheduler:
    """The service on a state in memory, with a clock that the test sets."""

    def __init__(self, task: Task | None = None) -> None:
        self.state = MemoryState(task or make_task())
        self.now = at(0)
        self.set_backs: list[datetime] = []
        self.set_forwards: list[datetime] = []
        self.set_back_error: KeijiError | None = None
        self.stopped: list[tuple[str, Reason]] = []
        self.service = SchedulerService(
            self.state,
            stop_run=lambda run_id, why: self.stopped.append((run_id, why)),
            conditions=Conditions,
            on_set_back=self._on_set_back,
            on_set_forward=self._on_set_forward,
            clock=lambda: self.now,
        )

    async def _on_set_back(self, seen: datetime) -> None:
        self.set_backs.append(seen)
        if self.set_back_error is not None:
            raise self.set_back_error

    async def _on_set_forward(self, seen: datetime) -> None:
        self.set_forwards.append(seen)

    async def step_at(self, seconds: float) -> float:
        """Set the clock, and do one step."""
        self.now = at(seconds)
        return await self.service.step()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "keiji.scheduler")
    return caplog


async def test_it_waits_for_the_next_due_instant_but_at_most_a_second() -> None:
    scheduler = Scheduler()
    assert await scheduler.step_at(0) == MAX_WAIT
    assert await scheduler.step_at(9.75) == 0.25
    assert scheduler.state.applied == 0


async def test_it_applies_a_plan_and_plans_again_at_once() -> None:
    scheduler = Scheduler()
    assert await scheduler.step_at(10) == 0.0
    assert scheduler.state.applied == 1


async def test_a_plan_that_changes_nothing_is_not_applied_again_at_once() -> None:
    scheduler = Scheduler()
    scheduler.state.changes = Changes()
    assert await scheduler.step_at(10) == MAX_WAIT


async def test_a_replaced_run_is_stopped_and_other_tasks_stay_on_time_meanwhile() -> None:
    scheduler = Scheduler(make_task_with_policy(overlap="replace", seconds=1000))
    scheduler.state.open_runs = (running(), queued(10))
    scheduler.state.next_at = at(10.5)
    scheduler.state.changes = Changes()
    assert await scheduler.step_at(10.25) == 0.25
    assert scheduler.stopped == [("r1", reason(Code.REPLACED, due=at(10)))]


async def test_a_plan_that_cannot_be_stored_is_logged_and_tried_again_later(log: pytest.LogCaptureFixture) -> None:
    scheduler = Scheduler()
    scheduler.state.error = UNREACHABLE
    assert await scheduler.step_at(10) == MAX_WAIT
    message = "occurrences of ping could not be recorded, trying again: the database cannot be reached"
    assert log.record_tuples == [("keiji.scheduler", logging.ERROR, message)]
    scheduler.state.error = None
    assert await scheduler.step_at(11) == 0.0
    assert scheduler.state.applied == 1


async def test_a_set_back_of_the_clock_is_handled_before_anything_else(log: pytest.LogCaptureFixture) -> None:
    scheduler = Scheduler()
    await scheduler.step_at(5)
    await scheduler.step_at(4.5)
    assert scheduler.set_backs == [], "NTP corrects a clock in small steps"
    await scheduler.step_at(-60)
    assert scheduler.set_backs == [at(4.5)]
    await scheduler.step_at(-59)
    assert len(scheduler.set_backs) == 1
    message = "the clock was set back by 0:01:04.500000"
    assert log.record_tuples == [("keiji.scheduler", logging.WARNING, message)]


async def test_a_set_back_that_cannot_be_stored_is_repeated_until_it_is(log: pytest.LogCaptureFixture) -> None:
    scheduler = Scheduler()
    scheduler.state.task = make_task(next_at=at(-100))
    scheduler.set_back_error = UNREACHABLE
    await scheduler.step_at(5)
    applied = scheduler.state.applied
    assert await scheduler.step_at(-60) == MAX_WAIT
    assert scheduler.state.applied == applied, "nothing is planned before the set-back is applied"
    scheduler.set_back_error = None
    await scheduler.step_at(-59)
    assert scheduler.set_backs == [at(5), at(5)]
    assert "tasks could not be rescheduled yet: the database cannot be reached" in log.text


async def test_after_the_clock_was_set_forward_it_catches_up() -> None:
    scheduler = Scheduler()
    await scheduler.step_at(0)
    assert await scheduler.step_at(100_000) == 0.0
    assert scheduler.state.applied == 1
    assert scheduler.set_forwards == [at(0)]


async def test_a_wakeup_ends_the_wait() -> None:
    scheduler = Scheduler()
    is_ready = asyncio.Event()
    loop = asyncio.create_task(scheduler.service.serve(is_ready.set))
    await is_ready.wait()
    await asyncio.sleep(0)
    started_at = asyncio.get_running_loop().time()
    scheduler.now = at(10)
    scheduler.state.changes = Changes()
    scheduler.service.wake()
    while not scheduler.state.applied:
        await asyncio.sleep(0)
        assert asyncio.get_running_loop().time() - started_at < MAX_WAIT / 2
    loop.cancel()
    await asyncio.wait([loop])
