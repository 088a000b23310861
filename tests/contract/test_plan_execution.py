"""Executing a plan: what a directive changed since the plan was made is left out; the rest takes effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from repositories import Repositories

from keiji.policy import Policy
from keiji.reasons import Code, reason
from keiji.records import Build, Pause, Run, RunOrigin, RunResult
from keiji.schedule import ScheduleContext, every
from keiji.states import RunState
from keiji_engine.scheduler.agenda import Agenda
from keiji_engine.scheduler.model import Conditions, Plan
from keiji_engine.scheduler.planner import plan
from keiji_engine.scheduler_service import execute_plan
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.store import Store
from keiji_engine.storage.transactions import Transaction

START = datetime(2026, 11, 23, 7, tzinfo=UTC)
STEP = 10  # seconds


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


SCHEDULE = every(STEP).seconds.with_context(ScheduleContext(anchor=START))


def add_task(store: Store, slug: str, **policy: object) -> None:
    """Add a task that is due every `STEP` seconds after START."""
    build = Build(
        hash="b" * 32,
        command=("python",),
        files={},
        schedule=SCHEDULE,
        policy=Policy(**policy),  # type: ignore[arg-type]
        import_seconds=0,
        created_at=START,
    )
    store.write(
        lambda tx: tx.tasks.create(slug, slug, "", START),
        lambda tx: tx.tasks.activate(slug, build, SCHEDULE, at(STEP), now=START),
    )


def make_plan(store: Store, now: datetime) -> Plan:
    """Plan on what is stored."""
    tasks, runs, pause, revision = store.read(
        lambda tx: (tx.tasks.all(), tx.runs.open(), tx.system.pause(), tx.revisions.current)
    )
    agenda, conditions = Agenda(), Conditions(pause=pause)
    for task in tasks:
        agenda.set_task(task)
    for run in runs:
        agenda.set_run(run)
    agenda.set_pause(pause)
    return plan(replace(agenda.view(now, conditions), revision=revision), now, conditions)


def execute(store: Store, decided: Plan, now: datetime) -> Changes:
    return store.write(partial(execute_plan, plan=decided, now=now))


def rows(store: Store, slug: str) -> list[tuple[RunState, datetime | None]]:
    runs = store.read(lambda tx: tx.runs.latest(slug, 100))
    return [(run.state, run.scheduled_for) for run in reversed(runs)]


def finish(store: Store, run: Run, now: datetime) -> None:
    result = RunResult(run_id=run.run_id, state=RunState.SUCCEEDED, finished_at=now)
    store.write(lambda tx: tx.runs.finish(result))


def test_a_plan_claims_what_is_due_and_moves_the_tasks_on(store: Store) -> None:
    add_task(store, "one")
    add_task(store, "two")
    changes = execute(store, make_plan(store, at(10)), at(10))
    assert [(run.task, run.state) for run in changes.runs.values()] == [
        ("one", RunState.STARTING),
        ("two", RunState.STARTING),
    ]
    assert {slug: task.next_at for slug, task in changes.tasks.items()} == {"one": at(20), "two": at(20)}


def test_a_plan_that_is_executed_twice_takes_effect_once(store: Store) -> None:
    add_task(store, "one")
    decided = make_plan(store, at(10))
    assert execute(store, decided, at(10))
    assert not execute(store, decided, at(10))
    assert rows(store, "one") == [(RunState.STARTING, at(10))]


PAUSE = Pause(since=at(9))


@pytest.mark.parametrize(
    "directive",
    [
        lambda tx: tx.tasks.disable("one"),
        lambda tx: tx.tasks.delete("one"),
        lambda tx: tx.tasks.set_pause("one", PAUSE),
        lambda tx: tx.tasks.reschedule("one", SCHEDULE, at(1000)),
        lambda tx: tx.runs.insert_manual("one", at(9.5)),
    ],
    ids=["disabled", "deleted", "paused", "rescheduled", "run by hand"],
)
def test_a_task_that_changed_since_the_plan_is_left_out_and_the_others_are_not(
    store: Store, directive: Callable[[Transaction], object]
) -> None:
    add_task(store, "one")
    add_task(store, "two")
    decided = make_plan(store, at(10))
    store.write(directive)
    changes = execute(store, decided, at(10))
    assert [(run.task, run.state) for run in changes.runs.values()] == [("two", RunState.STARTING)]
    assert "one" not in changes.tasks


def test_during_a_pause_of_the_system_nothing_of_an_earlier_plan_starts(store: Store) -> None:
    add_task(store, "one")
    decided = make_plan(store, at(10))
    store.write(lambda tx: tx.system.set_pause(PAUSE))
    assert not execute(store, decided, at(10))
    changes = execute(store, make_plan(store, at(10)), at(10))
    assert [run.state for run in changes.runs.values()] == [RunState.SKIPPED]


def test_a_queued_run_starts_unless_it_was_cancelled_since(store: Store) -> None:
    add_task(store, "one", overlap="queue")
    [live] = execute(store, make_plan(store, at(10)), at(10)).runs.values()
    [queued] = execute(store, make_plan(store, at(20)), at(20)).runs.values()
    assert queued.state is RunState.QUEUED
    finish(store, live, at(25))
    decided = make_plan(store, at(25))
    assert [run.run_id for run in decided.start] == [queued.run_id]
    store.write(lambda tx: tx.runs.cancel_queued("one", reason(Code.STOPPED, by="keiji"), at(25)))
    assert not execute(store, decided, at(25))


def test_each_run_that_a_plan_starts_has_the_origin_that_allows_starting_it_again(
    open_store: Callable[[], Repositories],
) -> None:
    store = open_store().store
    add_task(store, "one", overlap="queue")
    store.run_origin = RunOrigin("folder", "boot")
    [live] = execute(store, make_plan(store, at(10)), at(10)).runs.values()
    [queued] = execute(store, make_plan(store, at(20)), at(20)).runs.values()
    assert store.read(lambda tx: tx.runs.origins()) == {live.run_id: store.run_origin}
    finish(store, live, at(25))
    execute(store, make_plan(store, at(25)), at(25))
    assert store.read(lambda tx: tx.runs.origins()) == {queued.run_id: store.run_origin}


def test_a_queued_run_does_not_start_beside_a_run_that_was_requested_since(store: Store) -> None:
    add_task(store, "one", overlap="queue")
    [live] = execute(store, make_plan(store, at(10)), at(10)).runs.values()
    execute(store, make_plan(store, at(20)), at(20))
    finish(store, live, at(25))
    decided = make_plan(store, at(25))
    manual = store.write(lambda tx: tx.runs.insert_manual("one", at(25))).run
    assert not execute(store, decided, at(25))
    finish(store, manual, at(26))
    changes = execute(store, make_plan(store, at(26)), at(26))
    assert [(run.state, run.scheduled_for) for run in changes.runs.values()] == [(RunState.STARTING, at(20))]


def test_a_replacement_skips_the_queued_run_and_waits_for_the_live_one(store: Store) -> None:
    add_task(store, "one", overlap="replace")
    [live] = execute(store, make_plan(store, at(10)), at(10)).runs.values()
    execute(store, make_plan(store, at(20)), at(20))
    decided = make_plan(store, at(30))
    execute(store, decided, at(30))
    assert rows(store, "one") == [
        (RunState.STARTING, at(10)),
        (RunState.SKIPPED, at(20)),
        (RunState.QUEUED, at(30)),
    ]
    stop = make_plan(store, at(30)).stop
    assert stop == ((live.run_id, reason(Code.REPLACED, due=at(30))),)
