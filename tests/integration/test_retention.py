"""Retention: the history is pruned by age and by the number of runs of each task."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from databases import SharedDatabase
from installation import TIMEOUT

from keiji.policy import Policy
from keiji.reasons import Code, reason
from keiji.records import Build, Claim, Run, RunResult
from keiji.schedule import ScheduleContext, every
from keiji.settings import Settings
from keiji.states import RunState
from keiji_engine.events import Committed, EventBus
from keiji_engine.state import EngineState
from keiji_engine.storage import retention
from keiji_engine.storage.async_store import AsyncStore
from keiji_engine.storage.retention import Retention
from keiji_engine.storage.transactions import Transaction

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
COUNT = retention.BATCH + 300


@pytest.fixture
def kind() -> str:
    return "sqlite"


@pytest.fixture
def events() -> EventBus:
    return EventBus()


@pytest.fixture
async def state(shared_database: SharedDatabase, events: EventBus) -> AsyncIterator[EngineState]:
    state = EngineState(shared_database.paths, AsyncStore(shared_database.store()), events)
    await state.load()
    yield state
    await state.close()


async def add_task(state: EngineState, slug: str, count: int, begin: datetime) -> None:
    """Add a task with a history of ``count`` skipped runs, one each second from ``begin``."""
    schedule = every(1).seconds.with_context(ScheduleContext(anchor=begin))
    build = Build(
        hash="a", command=("python",), files={}, schedule=schedule, policy=Policy(), import_seconds=0, created_at=begin
    )
    await state.apply(
        lambda tx: tx.tasks.create(slug, slug, "", begin),
        lambda tx: tx.tasks.activate(slug, build, schedule, begin, now=begin),
    )
    await add_runs(state, slug, count, begin)


async def add_runs(state: EngineState, slug: str, count: int, begin: datetime) -> None:
    why = reason(Code.RUNNER_STOPPED)
    moments = [begin + timedelta(seconds=number) for number in range(count)]
    claims = [Claim(task=slug, scheduled_for=at, next_at=None, state=RunState.SKIPPED, reason=why) for at in moments]

    def claim(tx: Transaction, *, first: int) -> None:
        tx.runs.claim(claims[first : first + 100], moments[first])

    await state.apply(*(partial(claim, first=first) for first in range(0, count, 100)))


async def add_succeeded(state: EngineState, slug: str, at: datetime) -> None:
    claim = Claim(task=slug, scheduled_for=at, next_at=None, state=RunState.STARTING)
    changes = await state.apply(lambda tx: tx.runs.claim([claim], at))
    result = RunResult(run_id=changes.run.run_id, state=RunState.SUCCEEDED, started_at=at, finished_at=at)
    await state.apply(lambda tx: tx.runs.finish(result))


async def runs_of(state: EngineState, slug: str) -> list[Run]:
    return await state.read(lambda tx: tx.runs.latest(slug, 10_000))


async def count_becomes(state: EngineState, slug: str, count: int) -> None:
    async with asyncio.timeout(TIMEOUT):
        while len(await runs_of(state, slug)) != count:
            await asyncio.sleep(0.01)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@contextlib.asynccontextmanager
async def pruning(state: EngineState, events: EventBus, settings: Settings, clock: Clock) -> AsyncIterator[None]:
    """Prune in the background, as the engine does."""
    pruner = Retention(
        state, lambda: settings, lambda: [task.slug for task in state.tasks()], clock, pause=0, interval=0.01
    )
    events.subscribe(Committed, lambda event: pruner.count(event.changes.runs.values()))
    await pruner.prepare()
    serving = asyncio.create_task(pruner.serve())
    yield
    serving.cancel()
    await asyncio.wait([serving])


async def test_the_newest_runs_of_each_task_are_kept(state: EngineState, events: EventBus) -> None:
    await add_task(state, "many", COUNT, NOW)
    await add_task(state, "few", 40, NOW)
    async with pruning(state, events, Settings(keep_runs=50, keep_days=0), Clock()):
        await count_becomes(state, "many", 50)
    assert len(await runs_of(state, "few")) == 40
    newest, *_ = await runs_of(state, "many")
    assert newest.scheduled_for == NOW + timedelta(seconds=COUNT - 1)


async def test_runs_older_than_keep_days_are_removed(state: EngineState, events: EventBus) -> None:
    await add_task(state, "old", COUNT, NOW - timedelta(days=9))
    await add_task(state, "new", 40, NOW - timedelta(days=1))
    async with pruning(state, events, Settings(keep_runs=0, keep_days=7), Clock()):
        await count_becomes(state, "old", 0)
    assert len(await runs_of(state, "new")) == 40


async def test_by_default_a_normal_history_is_kept(state: EngineState, events: EventBus) -> None:
    keep = Settings().keep_runs
    await add_task(state, "many", 300, NOW)
    await add_task(state, "old", 300, NOW - timedelta(days=9))
    await add_task(state, "surplus", keep + 5, NOW)  # checked last: once it is pruned, so are the others
    async with pruning(state, events, Settings(), Clock()):
        await count_becomes(state, "surplus", keep)
    for slug in ("many", "old"):
        assert len(await runs_of(state, slug)) == 300


async def test_a_task_is_checked_again_after_it_grew(state: EngineState, events: EventBus) -> None:
    await add_task(state, "ping", 60, NOW)
    async with pruning(state, events, Settings(keep_runs=50, keep_days=0), Clock()):
        await count_becomes(state, "ping", 50)
        await add_runs(state, "ping", 7, NOW + timedelta(hours=1))
        await count_becomes(state, "ping", 50)


async def test_a_clock_that_is_set_forward_removes_nothing_by_age(state: EngineState, events: EventBus) -> None:
    clock = Clock()
    await add_task(state, "ping", 40, NOW)
    async with pruning(state, events, Settings(keep_runs=20, keep_days=7), clock):
        await count_becomes(state, "ping", 20)
        clock.now += timedelta(days=365)
        await add_task(state, "pong", 30, NOW)
        await count_becomes(state, "pong", 20)  # by number, in a round after the clock was set
    assert len(await runs_of(state, "ping")) == 20


async def test_engines_that_boot_with_a_clock_far_ahead_remove_nothing_by_age_until_it_is_half_a_day_old(
    state: EngineState, events: EventBus
) -> None:
    clock, settings = Clock(), Settings(keep_runs=20, keep_days=7)
    await add_task(state, "ping", 20, NOW)
    clock.now += timedelta(days=400)
    for boot in range(3):  # the second and the third find rows of the wrong time
        async with pruning(state, events, settings, clock):
            await add_task(state, f"at{boot}", 30, clock.now)
            await count_becomes(state, f"at{boot}", 20)
            assert len(await runs_of(state, "ping")) == 20
        clock.now += timedelta(minutes=30)
    clock.now += timedelta(hours=12)
    async with pruning(state, events, settings, clock):
        await count_becomes(state, "ping", 0)


async def test_after_a_leap_rows_that_were_too_old_before_it_are_removed(state: EngineState, events: EventBus) -> None:
    clock = Clock()
    await add_task(state, "old", 40, NOW - timedelta(days=9))
    await add_task(state, "new", 40, NOW)
    clock.now += timedelta(days=20)  # the machine was off
    async with pruning(state, events, Settings(keep_runs=0, keep_days=7), clock):
        await count_becomes(state, "old", 0)
    assert len(await runs_of(state, "new")) == 40


async def test_a_leap_that_is_undone_counts_ages_from_now_again(state: EngineState, events: EventBus) -> None:
    clock = Clock()
    await add_task(state, "old", 40, NOW - timedelta(days=6))
    await add_task(state, "new", 40, NOW)
    clock.now += timedelta(days=400)
    settings = Settings(keep_runs=20, keep_days=7)
    async with pruning(state, events, settings, clock):
        await count_becomes(state, "new", 20)
        clock.now = NOW + timedelta(minutes=2)
        await add_task(state, "more", 30, NOW)
        await count_becomes(state, "more", 20)  # in a round after the clock was set back
        clock.now += timedelta(minutes=50)
        await add_task(state, "last", 30, NOW)
        await count_becomes(state, "last", 20)
        assert len(await runs_of(state, "old")) == 20


async def test_rows_that_never_ran_are_removed_before_rows_that_did(state: EngineState, events: EventBus) -> None:
    await add_task(state, "ping", 0, NOW)
    for number in range(20):
        await add_succeeded(state, "ping", NOW + timedelta(seconds=number))
    await add_runs(state, "ping", 100, NOW + timedelta(hours=1))
    async with pruning(state, events, Settings(keep_runs=30, keep_days=0), Clock()):
        await count_becomes(state, "ping", 30)
    states = [run.state for run in await runs_of(state, "ping")]
    assert states == [RunState.SKIPPED] * 10 + [RunState.SUCCEEDED] * 20
