"""Runs for events: exactly one for each start of the machine and for each change of files, by the task's policy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from ledger_samples import result_of
from repositories import Repositories

from keiji.machine import start_id
from keiji.policy import Policy
from keiji.reasons import Code, reason
from keiji.records import Build, Pause, Run, Task
from keiji.schedule import Schedule, at_start, combine, every, on_change
from keiji.states import RunState, Trigger
from keiji_engine.event_runs import begin, forget, run_at_start, run_on_change
from keiji_engine.storage.transactions import Transaction

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
ON_CHANGE = on_change("/data/*.csv")
LATER = timedelta(seconds=1)


def add(store: Repositories, slug: str, schedule: Schedule, **policy: object) -> Task:
    """Add a task with a schedule, as a build does it."""
    rules = Policy(**policy)  # type: ignore[arg-type]
    placed = schedule.with_context(rules.schedule_context(anchor=NOW, zone="UTC"))
    build = Build(
        hash="b" * 32, command=("python",), files={}, schedule=schedule, policy=rules, import_seconds=0, created_at=NOW
    )

    def create(transaction: Transaction) -> None:
        transaction.tasks.create(slug, slug, "", NOW)
        begin(transaction, transaction.tasks.activate(slug, build, placed, None, now=NOW), None, {})

    store.write(create)
    return store.tasks.get(slug)


def start(store: Repositories, started: str, *slugs: str, now: datetime = NOW, max_parallel: int | None = None) -> None:
    store.write(lambda tx: run_at_start(tx, slugs=slugs, started=started, now=now, max_parallel=max_parallel))


def change(store: Repositories, files: dict[str, str], now: datetime = NOW, max_parallel: int | None = None) -> None:
    store.write(lambda tx: run_on_change(tx, slug="ping", files=files, now=now, max_parallel=max_parallel))


def runs(store: Repositories, slug: str = "ping") -> list[Run]:
    return list(reversed(store.runs.latest(slug, 100)))


def states(store: Repositories) -> list[RunState]:
    return [run.state for run in runs(store)]


# ── at start ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_runs_once_for_each_start_of_the_machine(store: Repositories) -> None:
    add(store, "ping", at_start)
    add(store, "pong", combine([every(1).hours, at_start]))
    for _ in range(2):
        start(store, "boot/1", "ping", "pong")
    for slug in ("ping", "pong"):
        [run] = runs(store, slug)
        assert (run.state, run.trigger, run.scheduled_for, run.build) == (
            RunState.STARTING, Trigger.AT_START, None, "b" * 32,
        )  # fmt: skip
        assert store.tasks.get(slug).last_at == NOW
    store.runs.finish(result_of(runs(store)[0], RunState.SUCCEEDED, 1))
    start(store, "boot/2", "ping")
    assert len(runs(store)) == 2
    assert len(runs(store, "pong")) == 1
    start(store, "boot/2", "ping", "pong")
    assert len(runs(store)) == 2


def test_a_task_that_gets_the_event_does_not_run_before_the_next_start(store: Repositories) -> None:
    ping = add(store, "ping", at_start)
    start(store, start_id(), "ping")
    assert runs(store) == []
    # A build with the same event does not count as an event that was missed.
    store.system.set_value("machine_start", {"id": "an earlier start", "tasks": [ping.task_id]})
    store.write(lambda tx: begin(tx, tx.tasks.get("ping"), at_start, {}))
    start(store, start_id(), "ping")
    assert len(runs(store)) == 1


Prepare = Callable[[Transaction], object]


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda tx: tx.tasks.set_pause("ping", Pause(since=NOW, by="me")), Code.PAUSED),
        (lambda tx: tx.system.set_pause(Pause(since=NOW, by="me")), Code.PAUSED),
        (lambda tx: tx.tasks.count_failure(tx.tasks.get("ping"), reason(Code.EXIT_CODE, exit_code=1), NOW), Code.HELD),
        (lambda tx: tx.tasks.disable("ping"), None),
    ],
)
def test_a_task_that_is_held_back_at_the_start_does_not_run_later(
    store: Repositories, prepare: Prepare, why: Code | None
) -> None:
    add(store, "ping", at_start, hold_after=1)
    store.write(prepare)
    start(store, "boot/1", "ping")
    found = [(run.state, run.reason and run.reason.code, run.finished_at) for run in runs(store)]
    assert found == ([(RunState.SKIPPED, why, NOW)] if why else [])
    store.write(lambda tx: tx.tasks.enable("ping", None, None), lambda tx: tx.tasks.set_pause("ping", None))
    store.write(lambda tx: tx.system.set_pause(None), lambda tx: tx.tasks.resolve("ping"))
    start(store, "boot/1", "ping")
    assert len(runs(store)) == len(found)


def test_events_outside_the_bounds_of_the_policy_do_not_run_the_task(store: Repositories) -> None:
    add(store, "ping", at_start, not_before="2026-11-23 08:00", until="2026-11-23 09:00")
    for hours, count in ((0, 0), (1, 1), (3, 1)):
        start(store, f"boot/{hours}", "ping", now=NOW + timedelta(hours=hours))
        assert len(runs(store)) == count


def test_a_run_waits_for_a_slot_and_for_its_jitter(store: Repositories) -> None:
    add(store, "ping", at_start)
    add(store, "pong", at_start)
    jitters = add(store, "jitters", at_start, jitter=600)
    start(store, "boot/1", "ping", "pong", "jitters", max_parallel=1)
    found = {slug: runs(store, slug)[0] for slug in ("ping", "pong", "jitters")}
    assert sorted(found[slug].state for slug in ("ping", "pong")) == [RunState.QUEUED, RunState.STARTING]
    waiting = next(run for slug, run in found.items() if slug != "jitters" and run.state is RunState.QUEUED)
    assert waiting.reason == reason(Code.WAITING_FOR_SLOT, limit=1)
    assert found["jitters"].due_at == jitters.start_time(NOW) > NOW
    assert found["jitters"].reason == reason(Code.JITTER, at=jitters.start_time(NOW))


# ── on change ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_new_and_changed_files_run_the_task_once_and_removed_ones_do_not(store: Repositories) -> None:
    add(store, "ping", ON_CHANGE, overlap="allow")
    for files, count in (
        ({}, 0),
        ({"/data/a.csv": "1"}, 1),
        ({"/data/a.csv": "1"}, 1),
        ({"/data/a.csv": "2"}, 2),
        ({"/data/a.csv": "2", "/data/b.csv": "1"}, 3),
        ({"/data/b.csv": "1"}, 3),
        ({"/data/a.csv": "2", "/data/b.csv": "1"}, 4),
        ({}, 4),
    ):
        for _ in range(2):
            change(store, files)
        assert len(runs(store)) == count, files
    assert [run.reason for run in runs(store)[:3]] == [
        reason(Code.FILES_CHANGED, files="/data/a.csv"),
        reason(Code.FILES_CHANGED, files="/data/a.csv"),
        reason(Code.FILES_CHANGED, files="/data/b.csv"),
    ]
    change(store, {f"/data/{number}.csv": "1" for number in range(5)})
    assert runs(store)[-1].reason == reason(
        Code.FILES_CHANGED, files="/data/0.csv, /data/1.csv, /data/2.csv and 2 more"
    )


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("skip", [RunState.STARTING, RunState.QUEUED]),
        ("queue", [RunState.STARTING, RunState.QUEUED]),
        ("replace", [RunState.STARTING, RunState.QUEUED]),
        ("allow", [RunState.STARTING, RunState.STARTING, RunState.QUEUED]),
    ],
)
def test_any_number_of_changes_during_a_run_lead_to_one_more(
    store: Repositories, overlap: str, expected: list[RunState]
) -> None:
    limit = {"max_parallel": 2} if overlap == "allow" else {}
    add(store, "ping", ON_CHANGE, overlap=overlap, **limit)
    for number in range(6):
        change(store, {"/data/a.csv": str(number)}, NOW + number * LATER)
    assert states(store) == expected
    # The first run ends, the second starts: the next change leads to another one.
    store.runs.finish(result_of(runs(store)[0], RunState.SUCCEEDED, 10))
    store.runs.start_queued(runs(store)[-1].run_id, NOW + 10 * LATER)
    change(store, {"/data/a.csv": "later"}, NOW + 11 * LATER)
    assert states(store)[-1] is RunState.QUEUED
    assert len(runs(store)) == len(expected) + 1


def test_a_change_during_a_pause_runs_the_task_afterwards(store: Repositories) -> None:
    add(store, "ping", ON_CHANGE)
    store.tasks.set_pause("ping", Pause(since=NOW))
    change(store, {"/data/a.csv": "1"})
    assert runs(store) == []
    store.tasks.set_pause("ping", None)
    change(store, {"/data/a.csv": "1"})
    assert states(store) == [RunState.STARTING]


def test_files_of_another_pattern_or_another_task_are_no_changes(store: Repositories) -> None:
    ping = add(store, "ping", ON_CHANGE)
    change(store, {"/data/a.csv": "1"})
    assert len(runs(store)) == 1
    other = on_change("/other/*")
    store.write(lambda tx: tx.tasks.reschedule("ping", other, None))
    store.write(lambda tx: begin(tx, tx.tasks.get("ping"), ON_CHANGE, {"/other/old": "1"}))
    change(store, {"/other/old": "1"})
    assert len(runs(store)) == 1
    change(store, {"/other/old": "1", "/other/new": "1"})
    assert len(runs(store)) == 2
    store.write(lambda tx: forget(tx, ping))
    change(store, {"/other/newer": "1"})  # nothing to compare with
    assert len(runs(store)) == 2
    store.tasks.disable("ping")
    change(store, {"/other/newest": "1"})
    assert len(runs(store)) == 2
