"""The engine's state on real databases: memory, database and published events agree, whatever fails or is cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import sqlalchemy as sa
from databases import SharedDatabase
from installation import TIMEOUT
from ledger_samples import EVERY_TEN, FRIDAYS, NOW, a_build, at, claim_of, result_of

from keiji.errors import AlreadyRunning, StorageError, TaskExists, TaskNotFound
from keiji.paths import Paths
from keiji.policy import Policy
from keiji.reasons import Code, reason
from keiji.records import Pause, Progress
from keiji.settings import Settings
from keiji.states import RunState
from keiji_engine.bus import protocol as p
from keiji_engine.bus.security import UNKNOWN_PEER
from keiji_engine.bus.views import TaskView
from keiji_engine.events import Committed, EventBus
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.dispatch import Dispatcher
from keiji_engine.scheduler.model import Conditions, Plan
from keiji_engine.scheduler_service import execute_plan
from keiji_engine.state import RECENT_RUNS, EngineState
from keiji_engine.storage.async_store import AsyncStore
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.store import OutcomeUnknown
from keiji_engine.storage.transactions import Operation, Transaction, request_run
from keiji_engine.watcher import SourceState

PAUSE = Pause(since=at(0), reason="moving [house] 計時", by="keiji")
STOPPED = reason(Code.STOPPED, by="keiji")
FAR = at(10**6)


@dataclass
class Subscriber:
    """Follows the events, and knows the tasks from them as a client does."""

    tasks: dict[str, TaskView] = field(default_factory=dict)
    runs: list[p.RunChanged] = field(default_factory=list)
    commits: list[Changes] = field(default_factory=list)

    def subscribe(self, events: EventBus) -> None:
        events.subscribe(Committed, lambda event: self.commits.append(event.changes))
        events.subscribe(p.RunChanged, self.runs.append)
        events.subscribe(p.TaskChanged, lambda event: self.tasks.update({event.task.slug: event.task}))
        events.subscribe(p.TaskRemoved, self._removed)

    def _removed(self, event: p.TaskRemoved) -> None:
        del self.tasks[event.slug]


class Faults:
    """Makes transactions fail as a database that is lost does, before their commits take effect or after."""

    def __init__(self) -> None:
        self.commits = 0
        self.fail_commit = ""  # "before" it takes effect, or "after"; then once
        self.is_away = False

    def begin(self, connection: sa.Connection) -> None:
        if self.is_away:
            raise sa.exc.OperationalError("BEGIN", None, Exception("the database is away"))

    def commit(self, connection: sa.Connection) -> None:
        self.commits += 1
        failing, self.fail_commit = self.fail_commit, ""
        if failing == "after":
            dbapi_connection = connection.connection.dbapi_connection
            assert dbapi_connection is not None
            dbapi_connection.commit()
        if failing:
            raise sa.exc.OperationalError("COMMIT", None, Exception("the connection was lost"))


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keiji_engine.state.RELOAD_INTERVAL", 0.02)
    monkeypatch.setattr("keiji_engine.handlers.dispatch.RETRY_INTERVAL", 0.02)


@pytest.fixture
def faults() -> Iterator[Faults]:
    faults = Faults()
    listeners = {"begin": faults.begin, "commit": faults.commit}
    for event, listener in listeners.items():
        sa.event.listen(sa.Engine, event, listener)
    yield faults
    for event, listener in listeners.items():
        sa.event.remove(sa.Engine, event, listener)


@pytest.fixture
def commits_that_flush() -> Iterator[list[bool]]:
    """Whether each commit on SQLite waits for the disk."""
    commits: list[bool] = []

    def commit(connection: sa.Connection) -> None:
        commits.append(connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2)

    sa.event.listen(sa.Engine, "commit", commit)
    yield commits
    sa.event.remove(sa.Engine, "commit", commit)


@dataclass
class Harness:
    """A state with a store and a subscriber."""

    paths: Paths
    store: AsyncStore
    state: EngineState
    subscriber: Subscriber

    async def create(self, *slugs: str) -> None:
        """Add tasks with a build, due every ten seconds from NOW."""
        for slug in slugs:
            await self.state.apply(create(slug), activate(slug, "a"))

    async def start(self, slug: str, seconds: float) -> str:
        """Claim an occurrence, record its start, and return the id of the run."""
        claimed = await self.state.apply(lambda tx: tx.runs.claim([claim_of(slug, seconds)], at(seconds)))
        run_id = claimed.run.run_id
        await self.state.apply(lambda tx: tx.runs.mark_running(run_id, at(seconds + 0.25)))
        return run_id

    async def queue(self, slug: str) -> str:
        queued = await self.state.apply(lambda tx: tx.runs.insert_manual(slug, NOW, state=RunState.QUEUED))
        return queued.run.run_id

    async def finish(self, run_id: str, state: RunState, seconds: float) -> None:
        [run] = [run for run in self.state.open_runs() if run.run_id == run_id]
        await self.state.apply(lambda tx: tx.runs.finish(result_of(run, state, seconds)))

    async def in_database(self) -> dict[str, Any]:
        """Return what a new engine would load."""
        loaded = EngineState(self.paths, self.store, EventBus())
        await loaded.load()
        await loaded.close()
        return snapshot(loaded)

    async def check(self) -> None:
        """Check that memory, database and events agree."""
        assert snapshot(self.state) == await self.in_database()
        assert self.subscriber.tasks == {view.slug: view for view in self.state.views()}


def snapshot(state: EngineState) -> dict[str, Any]:
    """Return everything that a state has from the database."""
    slugs = sorted(task.slug for task in state.tasks())
    return {
        "tasks": {slug: state.task(slug) for slug in slugs},
        "builds": {slug: state.build(slug) for slug in slugs},
        "files": dict(state.active_files()),
        "open runs": {slug: state.open_runs(slug) for slug in slugs},
        "live runs": {slug: state.live_run(slug) for slug in slugs},
        "views": state.views(),
        "pause": state.pause,
        "scheduler view": replace(state.scheduler_view(FAR, Conditions()), revision=0),
    }


@pytest.fixture
async def harness(shared_database: SharedDatabase, faults: Faults) -> AsyncIterator[Harness]:
    paths, store = shared_database.paths, AsyncStore(shared_database.store())
    events, subscriber = EventBus(), Subscriber()
    subscriber.subscribe(events)
    state = EngineState(paths, store, events)
    await state.load()
    yield Harness(paths, store, state, subscriber)
    faults.is_away = False
    await state.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not await condition():
            await asyncio.sleep(0.02)


def create(slug: str) -> Operation:
    return lambda tx: tx.tasks.create(slug, slug, "", NOW)


def activate(slug: str, mark: str, policy: Policy | None = None) -> Operation:
    return lambda tx: tx.tasks.activate(slug, a_build(mark, policy), EVERY_TEN, at(10), now=NOW)


def violate_a_constraint(transaction: Transaction) -> None:
    """Execute a statement that the database rejects."""
    transaction.tasks.update_details("ping", name="ping", description=None)  # type: ignore[arg-type]


# ── every kind of operation ──────────────────────────────────────────────────────────────────────────────────────────
# Each prepares the state, and returns the operation.

Prepare = Callable[[Harness], Awaitable[Operation]]
KINDS: dict[str, Prepare] = {}


def kind_of_operation(prepare: Prepare) -> Prepare:
    KINDS[prepare.__name__] = prepare
    return prepare


@kind_of_operation
async def create_task(harness: Harness) -> Operation:
    return create("ping")


@kind_of_operation
async def update_details(harness: Harness) -> Operation:
    await harness.create("ping")
    return lambda tx: tx.tasks.update_details("ping", name="Ping!", description="new")


@kind_of_operation
async def activate_first_build(harness: Harness) -> Operation:
    await harness.state.apply(create("ping"))
    return activate("ping", "a")


@kind_of_operation
async def activate_next_build(harness: Harness) -> Operation:
    await harness.create("ping")
    return activate("ping", "b", Policy(hold_after=1))


@kind_of_operation
async def enable(harness: Harness) -> Operation:
    await harness.create("ping")
    await harness.state.apply(lambda tx: tx.tasks.disable("ping"))
    return lambda tx: tx.tasks.enable("ping", FRIDAYS, at(99))


@kind_of_operation
async def disable(harness: Harness) -> Operation:
    await harness.create("ping")
    return lambda tx: tx.tasks.disable("ping")


@kind_of_operation
async def reschedule(harness: Harness) -> Operation:
    await harness.create("ping")
    return lambda tx: tx.tasks.reschedule("ping", FRIDAYS, at(99))


@kind_of_operation
async def resolve(harness: Harness) -> Operation:
    await harness.create("ping")
    await harness.finish(await harness.start("ping", 10), RunState.FAILED, 11)
    return lambda tx: tx.tasks.resolve("ping")


@kind_of_operation
async def pause_task(harness: Harness) -> Operation:
    await harness.create("ping")
    return lambda tx: tx.tasks.set_pause("ping", PAUSE)


@kind_of_operation
async def resume_task(harness: Harness) -> Operation:
    await harness.create("ping")
    await harness.state.apply(lambda tx: tx.tasks.set_pause("ping", PAUSE))
    return lambda tx: tx.tasks.set_pause("ping", None)


@kind_of_operation
async def pause_system(harness: Harness) -> Operation:
    return lambda tx: tx.system.set_pause(PAUSE)


@kind_of_operation
async def resume_system(harness: Harness) -> Operation:
    await harness.state.apply(lambda tx: tx.system.set_pause(PAUSE))
    return lambda tx: tx.system.set_pause(None)


@kind_of_operation
async def delete(harness: Harness) -> Operation:
    await harness.create("ping", "pong")
    await harness.start("ping", 10)
    return lambda tx: tx.tasks.delete("ping")


@kind_of_operation
async def delete_and_create(harness: Harness) -> Operation:
    await harness.create("ping")
    await harness.finish(await harness.start("ping", 10), RunState.FAILED, 11)
    await harness.start("ping", 20)

    def replace_task(tx: Transaction) -> None:
        tx.tasks.delete("ping")
        create("ping")(tx)

    return replace_task


@kind_of_operation
async def claim(harness: Harness) -> Operation:
    await harness.create("ping", "pong")
    states = (RunState.MISSED, RunState.STARTING, RunState.QUEUED)
    claims = [claim_of("ping", 10 * number, state) for number, state in enumerate(states, 1)]
    return lambda tx: tx.runs.claim([*claims, claim_of("pong", 10)], at(30))


@kind_of_operation
async def insert_manual(harness: Harness) -> Operation:
    await harness.create("ping")
    return request_run("ping", at(1), 5)


@kind_of_operation
async def insert_manual_queued(harness: Harness) -> Operation:
    await harness.create("ping", "pong")
    await harness.start("pong", 10)
    return request_run("ping", at(1), 1)


@kind_of_operation
async def start_queued(harness: Harness) -> Operation:
    await harness.create("ping")
    run_id = await harness.queue("ping")
    return lambda tx: tx.runs.start_queued(run_id, at(2))


@kind_of_operation
async def skip_queued(harness: Harness) -> Operation:
    await harness.create("ping")
    run_id = await harness.queue("ping")
    return lambda tx: tx.runs.skip_queued(run_id, reason(Code.REPLACED), at(2))


@kind_of_operation
async def cancel_queued(harness: Harness) -> Operation:
    await harness.create("ping")
    await harness.queue("ping")
    await harness.queue("ping")
    return lambda tx: tx.runs.cancel_queued("ping", STOPPED, at(2))


@kind_of_operation
async def shorten_waits(harness: Harness) -> Operation:
    await harness.create("ping")
    await harness.queue("ping")
    return lambda tx: tx.runs.shorten_waits(at(-100), at(-50))


@kind_of_operation
async def mark_running(harness: Harness) -> Operation:
    await harness.create("ping")
    claimed = await harness.state.apply(lambda tx: tx.runs.claim([claim_of("ping", 10)], at(10)))
    return lambda tx: tx.runs.mark_running(claimed.run.run_id, at(10.25))


@kind_of_operation
async def finish(harness: Harness) -> Operation:
    await harness.create("ping")
    await harness.finish(await harness.start("ping", 10), RunState.FAILED, 11)
    await harness.start("ping", 20)
    [run] = harness.state.open_runs("ping")
    return lambda tx: tx.runs.finish(result_of(run, RunState.SUCCEEDED, 21))


@kind_of_operation
async def finish_with_retry(harness: Harness) -> Operation:
    await harness.create("ping")
    await harness.start("ping", 10)
    [run] = harness.state.open_runs("ping")
    return lambda tx: tx.runs.finish(result_of(run, RunState.FAILED, 11), retry_at=at(20))


@kind_of_operation
async def finish_and_hold(harness: Harness) -> Operation:
    await harness.create("ping")
    await harness.state.apply(activate("ping", "b", Policy(hold_after=1)))
    await harness.start("ping", 10)
    [run] = harness.state.open_runs("ping")
    return lambda tx: tx.runs.finish(result_of(run, RunState.TIMED_OUT, 11))


@kind_of_operation
async def execute_a_plan(harness: Harness) -> Operation:
    await harness.create("ping", "pong", "late")
    start, skip = await harness.queue("pong"), await harness.queue("late")
    view = harness.state.scheduler_view(at(10), Conditions())
    plan = Plan(
        claims=(claim_of("ping", 10),),
        start=tuple(filter(None, [harness.state.open_run(start)])),
        skip=tuple((run, reason(Code.REPLACED)) for run in filter(None, [harness.state.open_run(skip)])),
        tasks={task.slug: task for task in harness.state.tasks()},
        revision=view.revision,
    )
    return lambda tx: execute_plan(tx, plan=plan, now=at(10))


@kind_of_operation
async def set_back(harness: Harness) -> Operation:
    await harness.create("ping")
    await harness.state.apply(lambda tx: tx.runs.claim([claim_of("ping", 60, RunState.SKIPPED)], at(60)))

    return lambda tx: tx.tasks.reschedule("ping", EVERY_TEN, at(10))


every_kind = pytest.mark.parametrize("prepare", KINDS.values(), ids=KINDS)


@every_kind
async def test_memory_database_and_events_agree_after_each_operation(harness: Harness, prepare: Prepare) -> None:
    operation = await prepare(harness)
    await harness.check()
    before = snapshot(harness.state)
    changes = await harness.state.apply(operation)
    assert changes
    assert snapshot(harness.state) != before
    assert harness.subscriber.commits[-1] is changes
    await harness.check()


# ── a commit whose outcome is unknown ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("effect", ["before", "after"])
@every_kind
async def test_an_unknown_outcome_is_read_back_before_the_next_operation(
    harness: Harness, faults: Faults, prepare: Prepare, effect: str
) -> None:
    operation = await prepare(harness)
    before = snapshot(harness.state)
    faults.fail_commit = effect
    with pytest.raises(OutcomeUnknown, match="the connection was lost"):
        await harness.state.apply(operation)
    seen: list[bool] = []
    await harness.state.apply(lambda _: seen.append(snapshot(harness.state) == before))
    assert seen == [effect == "before"], "the memory was updated before the next operation"
    assert (snapshot(harness.state) == before) == (effect == "before")
    await harness.check()


async def test_an_unknown_outcome_is_read_back_without_another_operation(harness: Harness, faults: Faults) -> None:
    await harness.create("ping")
    faults.fail_commit = "after"
    with pytest.raises(OutcomeUnknown):
        await harness.state.apply(lambda tx: tx.tasks.set_pause("ping", PAUSE))

    async def is_paused() -> bool:
        task = harness.state.task("ping")
        return task is not None and task.pause == PAUSE

    await until(is_paused)
    await harness.check()


async def test_an_unknown_claim_is_published_once_after_it_was_read_back(harness: Harness, faults: Faults) -> None:
    await harness.create("ping")
    faults.fail_commit = "after"
    with pytest.raises(OutcomeUnknown):
        await harness.state.apply(lambda tx: tx.runs.claim([claim_of("ping", 10)], at(10)))
    for _ in range(2):
        await harness.state.apply(create(f"other {len(harness.state.tasks())}"))
    starting = [run for changes in harness.subscriber.commits for run in changes.runs.values()]
    assert [(run.task, run.state) for run in starting] == [("ping", RunState.STARTING)]
    assert [event.run for event in harness.subscriber.runs] == starting


@pytest.mark.parametrize("effect", ["before", "after"])
async def test_an_outcome_stays_unknown_until_the_database_is_back(
    harness: Harness, faults: Faults, effect: str
) -> None:
    await harness.create("ping")

    def lose_the_database(tx: Transaction) -> None:
        tx.tasks.disable("ping")
        faults.fail_commit, faults.is_away = effect, True

    with pytest.raises(OutcomeUnknown):
        await harness.state.apply(lose_the_database)
    for _ in range(3):
        with pytest.raises(StorageError, match="the database is away"):
            await harness.state.apply(create("new"))
    task = harness.state.task("ping")
    assert task is not None
    assert not task.is_disabled
    faults.is_away = False
    await until(lambda: _agrees(harness))
    task = harness.state.task("ping")
    assert task is not None
    assert task.is_disabled == (effect == "after")
    await harness.state.apply(create("new"))
    await harness.check()


async def _agrees(harness: Harness) -> bool:
    return snapshot(harness.state) == await harness.in_database()


async def test_a_batch_with_an_unknown_outcome_is_read_back_as_a_whole(harness: Harness, faults: Faults) -> None:
    await harness.create("ping", "pong")
    groups: list[Operation] = [
        lambda tx: tx.tasks.delete("ping"),
        create("ping"),
        lambda tx: tx.tasks.set_pause("pong", PAUSE),
        lambda tx: tx.tasks.delete("none"),
        lambda tx: tx.system.set_pause(PAUSE),
    ]
    faults.fail_commit = "after"
    results = await asyncio.gather(*map(harness.state.apply, groups), return_exceptions=True)
    kinds = [OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, TaskNotFound, OutcomeUnknown]
    assert [type(result) for result in results] == kinds
    await harness.state.apply(create("new"))
    assert harness.state.build("ping") is None
    await harness.check()


# ── cancellation ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_cancelled_group_is_applied_as_a_whole(harness: Harness) -> None:
    for steps in range(21):
        one, two = f"one {steps}", f"two {steps}"
        call = asyncio.create_task(harness.state.apply(create(one), create(two)))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        await harness.state.apply(create(f"next {steps}"))
        # Cancelled before its first step, the call has not begun.
        expected = [one, two] if steps else []
        assert sorted({one, two} & {task.slug for task in harness.state.tasks()}) == expected
        published = [changes for changes in harness.subscriber.commits if one in changes.tasks]
        assert [sorted(changes.tasks) for changes in published] == ([expected] if steps else [])
        await harness.check()


@pytest.mark.parametrize("effect", ["", "before", "after"])
async def test_a_group_that_is_cancelled_during_its_commit_is_applied_as_a_whole(
    harness: Harness, faults: Faults, effect: str
) -> None:
    is_executing, may_continue = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait(tx: Transaction) -> None:
        loop.call_soon_threadsafe(is_executing.set)
        assert may_continue.wait(TIMEOUT)

    faults.fail_commit = effect
    call = asyncio.create_task(harness.state.apply(create("one"), wait, create("two")))
    await is_executing.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert harness.state.tasks() == []
    may_continue.set()
    await harness.state.apply(create("next"))
    assert len(harness.state.tasks()) == (1 if effect == "before" else 3)
    await harness.check()


async def test_cancelling_the_caller_of_close_does_not_interrupt_a_commit(harness: Harness) -> None:
    is_executing, may_continue = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait(tx: Transaction) -> None:
        loop.call_soon_threadsafe(is_executing.set)
        assert may_continue.wait(TIMEOUT)

    call = asyncio.create_task(harness.state.apply(wait, create("one")))
    await is_executing.wait()
    closing = asyncio.create_task(harness.state.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    may_continue.set()
    assert list((await call).tasks) == ["one"]


# ── order and batches ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_many_groups_take_effect_in_call_order_in_few_transactions(harness: Harness, faults: Faults) -> None:
    await harness.create("ping")
    faults.commits = 0
    order: list[int] = []

    def group(number: int) -> Operation:
        def operation(tx: Transaction) -> None:
            order.append(number)
            tx.tasks.update_details("ping", name="ping", description=f"{tx.tasks.get('ping').description}{number % 10}")

        return operation

    results = await asyncio.gather(*(harness.state.apply(group(number)) for number in range(100)))
    assert faults.commits <= 3
    assert order == list(range(100))
    digits = "0123456789" * 10
    descriptions = [changes.tasks["ping"].description for changes in results]
    assert descriptions == [digits[: number + 1] for number in range(100)]
    published = harness.subscriber.commits[-len(results) :]
    assert list(map(id, published)) == list(map(id, results)), "published in call order"
    await harness.check()


async def test_an_error_of_an_operation_fails_its_group_only(harness: Harness) -> None:
    await harness.create("ping")
    await harness.start("ping", 10)
    groups: list[tuple[Operation, ...]] = [
        (create("one"),),
        (create("two"), lambda tx: tx.tasks.delete("none")),
        (create("three"), create("one")),
        (create("four"), request_run("ping", at(20), None)),
        (create("five"),),
    ]
    results = await asyncio.gather(*(harness.state.apply(*group) for group in groups), return_exceptions=True)
    assert [type(result) for result in results] == [Changes, TaskNotFound, TaskExists, AlreadyRunning, Changes]
    assert sorted(task.slug for task in harness.state.tasks()) == ["five", "one", "ping"]
    await harness.check()


async def test_a_statement_that_the_database_rejects_fails_its_group_only(harness: Harness) -> None:
    await harness.create("ping")
    groups: list[tuple[Operation, ...]] = [
        (create("one"),),
        (create("two"), violate_a_constraint),
        (create("one"),),
        (create("three"), lambda tx: tx.tasks.reschedule("ping", EVERY_TEN, at(99).replace(tzinfo=None))),
        (create("four"),),
    ]
    results = await asyncio.gather(*(harness.state.apply(*group) for group in groups), return_exceptions=True)
    assert [type(result) for result in results] == [Changes, StorageError, TaskExists, StorageError, Changes]
    assert sorted(task.slug for task in harness.state.tasks()) == ["four", "one", "ping"]
    await harness.check()


async def test_a_value_that_only_postgresql_rejects_fails_its_group_only(harness: Harness, kind: str) -> None:
    await harness.create("ping")
    await harness.start("ping", 10)
    [run] = harness.state.open_runs("ping")
    result = replace(result_of(run, RunState.FAILED, 11), exit_code=2**40)
    outcomes = await asyncio.gather(
        harness.state.apply(create("one")),
        harness.state.apply(lambda tx: tx.runs.finish(result)),
        harness.state.apply(create("two")),
        return_exceptions=True,
    )
    rejected = StorageError if kind == "postgresql" else Changes
    assert [type(outcome) for outcome in outcomes] == [Changes, rejected, Changes]
    await harness.check()


# ── recent runs ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_recent_runs_are_those_of_the_database_in_its_order(harness: Harness) -> None:
    await harness.create("ping")
    started = [await harness.start("ping", 10 * number) for number in range(1, RECENT_RUNS + 4)]
    for number, run_id in reversed(list(enumerate(started))):
        await harness.finish(run_id, RunState.SUCCEEDED, 1000 + number // 2)
    await harness.queue("ping")
    await harness.state.apply(lambda tx: tx.runs.cancel_queued("ping", STOPPED, at(2000)))
    [view] = harness.state.views()
    assert [recent.run_id for recent in view.recent] == started[-RECENT_RUNS:]
    await harness.check()


# ── in memory only ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_progress_is_published_when_it_changes_and_ends_with_the_run(harness: Harness) -> None:
    await harness.create("ping", "pong")
    run_id = await harness.start("ping", 10)
    half = Progress(fraction=0.5)
    harness.state.set_progress({run_id: half, "unknown": half})
    assert {slug: view.progress for slug, view in harness.subscriber.tasks.items()} == {"ping": half, "pong": None}
    harness.subscriber.tasks.clear()
    harness.state.set_progress({run_id: half})
    assert harness.subscriber.tasks == {}, "the same progress is not published again"
    await harness.finish(run_id, RunState.SUCCEEDED, 11)
    assert harness.subscriber.tasks["ping"].progress is None


async def test_a_new_build_clears_the_changes_of_the_sources(harness: Harness) -> None:
    await harness.create("ping")
    harness.state.set_sources(SourceState("ping", changes=("function.py",)))
    harness.state.set_sources(SourceState("deleted", changes=("function.py",)))
    assert harness.subscriber.tasks["ping"].source_changes == ("function.py",)
    await harness.state.apply(activate("ping", "b"))
    assert not harness.subscriber.tasks["ping"].source_changes
    await harness.check()


# ── closing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_closing_commits_what_is_queued(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keiji_engine.state.MAX_BATCH", 10)
    calls = [asyncio.create_task(harness.state.apply(create(f"task{number}"))) for number in range(25)]
    await asyncio.sleep(0)
    await harness.state.close()
    assert all(call.done() and call.exception() is None for call in calls)
    assert len(harness.state.tasks()) == 25
    with pytest.raises(StorageError, match="shutting down"):
        await harness.state.apply(create("late"))
    await harness.check()


async def test_closing_ends_while_the_database_is_away(harness: Harness, faults: Faults) -> None:
    def lose_the_database(tx: Transaction) -> None:
        create("one")(tx)
        faults.fail_commit, faults.is_away = "after", True

    with pytest.raises(OutcomeUnknown):
        await harness.state.apply(lose_the_database)
    call = asyncio.create_task(harness.state.apply(create("two")))
    await asyncio.sleep(0)
    await harness.state.close()
    with pytest.raises(StorageError, match="the database is away"):
        await call


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_the_entry_of_a_directive_is_flushed_with_its_first_change(
    harness: Harness, commits_that_flush: list[bool]
) -> None:
    dispatcher = Dispatcher(Context(harness.paths, Settings, harness.state, lambda: NOW), lambda _: None)
    await dispatcher.perform(p.PauseSystem(reason="moving"), UNKNOWN_PEER)
    entry, change, reply = commits_that_flush
    assert (entry, change, reply) == (False, True, True)


@pytest.mark.parametrize("fails", ["before", "after"])
async def test_a_directive_whose_insert_has_an_unknown_outcome_is_carried_out_once(
    harness: Harness, faults: Faults, fails: str
) -> None:
    dispatcher = Dispatcher(Context(harness.paths, Settings, harness.state, lambda: NOW), lambda _: None)
    directive = p.PauseSystem(reason="moving")
    faults.fail_commit = fails
    async with asyncio.timeout(TIMEOUT):
        reply = await dispatcher.perform(directive, UNKNOWN_PEER)
        assert await dispatcher.perform(directive, UNKNOWN_PEER) == reply
    assert isinstance(reply, p.Done)
    assert harness.state.pause is not None
    [stored] = await harness.state.read(lambda tx: tx.directives.latest(5))
    assert (stored.verb, stored.stage) == ("pause-system", "done")
