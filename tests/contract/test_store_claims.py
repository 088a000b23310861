"""Each occurrence has exactly one row, even if several processes claim it, and if they are killed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

from ledger_samples import EVERY_TEN, NOW, a_build, at, built_task, claim_of, result_of, started
from repositories import Repositories

from keiji.reasons import Code, reason
from keiji.records import Claim
from keiji.settings import Settings
from keiji.states import FAILURES, RunState, Trigger


def test_a_claim_adds_a_run_and_advances_the_task(store: Repositories) -> None:
    built_task(store)
    [run] = store.runs.claim([claim_of("ping", 10)], at(10.5))
    assert (run.task, run.trigger, run.state) == ("ping", Trigger.SCHEDULE, RunState.STARTING)
    assert (run.scheduled_for, run.created_at, run.attempt) == (at(10), at(10.5), 1)
    assert run.build == a_build().hash
    assert store.runs.get(run.run_id) == run
    assert store.runs.open() == [run]
    task = store.tasks.get("ping")
    assert (task.next_at, task.last_at) == (at(20), at(10.5))


def test_an_occurrence_that_does_not_run_has_a_row_with_its_reason(store: Repositories) -> None:
    built_task(store)
    why = reason(Code.STILL_RUNNING, since=at(0), cause=reason(Code.QUEUE_FULL, waiting=2))
    [run] = store.runs.claim([claim_of("ping", 10, RunState.SKIPPED, why)], at(10))
    assert (run.state, run.reason) == (RunState.SKIPPED, why)
    assert store.runs.open() == []
    assert store.runs.latest("ping", 5) == [run]
    task = store.tasks.get("ping")
    assert task.next_at == at(20)
    assert task.last_at is None


def test_an_occurrence_is_claimed_once_and_the_other_claims_succeed(store: Repositories) -> None:
    built_task(store, "one")
    built_task(store, "two")
    [first] = store.runs.claim([claim_of("one", 10)], at(10))
    claimed = store.runs.claim([claim_of("one", 10), claim_of("two", 10), claim_of("one", 20)], at(20))
    assert [(run.task, run.scheduled_for) for run in claimed] == [("two", at(10)), ("one", at(20))]
    assert store.runs.get(first.run_id) == first
    assert store.tasks.get("one").next_at == at(30)
    assert store.tasks.get("two").next_at == at(20)


def test_a_claim_that_is_taken_still_advances_the_task(store: Repositories) -> None:
    built_task(store)
    store.runs.claim([claim_of("ping", 10)], at(10))
    store.tasks.reschedule("ping", EVERY_TEN, at(10))  # as after the clock was set back
    assert store.runs.claim([claim_of("ping", 10)], at(12)) == []
    assert store.tasks.get("ping").next_at == at(20)
    assert store.tasks.get("ping").last_at == at(10)


def test_the_same_occurrence_twice_in_one_call_adds_one_run(store: Repositories) -> None:
    built_task(store)
    assert len(store.runs.claim([claim_of("ping", 10), claim_of("ping", 10)], at(10))) == 1


def test_several_occurrences_of_a_task_are_claimed_in_order(store: Repositories) -> None:
    built_task(store)
    states = [RunState.MISSED, RunState.COALESCED, RunState.STARTING]
    claimed = store.runs.claim([claim_of("ping", 10 * n, state) for n, state in enumerate(states, 1)], at(35))
    assert [run.state for run in claimed] == states
    assert [run.run_id for run in claimed] == sorted(run.run_id for run in claimed)
    assert store.tasks.get("ping").next_at == at(40)
    assert store.runs.latest("ping", 2) == [claimed[2], claimed[1]]


def test_claims_of_disabled_or_deleted_tasks_are_ignored(store: Repositories) -> None:
    for slug in ("off", "on", "gone"):
        built_task(store, slug)
    store.tasks.disable("off")
    store.tasks.delete("gone")
    claimed = store.runs.claim([claim_of(slug, 10) for slug in ("off", "gone", "on")], at(10))
    assert [run.task for run in claimed] == ["on"]
    assert store.tasks.get("off").next_at is None
    assert store.runs.latest("off", 5) == []


def test_the_last_occurrence_leaves_no_next_instant(store: Repositories) -> None:
    built_task(store)
    store.runs.claim([Claim(task="ping", scheduled_for=at(10), next_at=None, state=RunState.STARTING)], at(10))
    assert store.tasks.get("ping").next_at is None


def test_without_valid_claims_no_run_is_added(store: Repositories) -> None:
    assert store.runs.claim([], NOW) == []
    assert store.runs.claim([claim_of("unknown", 10)], NOW) == []


def test_many_claims_in_one_call_keep_their_order(store: Repositories) -> None:
    built_task(store)
    claims = [claim_of("ping", n) for n in range(1500)]  # more than one INSERT has room for
    claimed = store.runs.claim(claims, at(1500))
    assert [run.scheduled_for for run in claimed] == [at(n) for n in range(1500)]


def test_concurrent_stores_claim_each_occurrence_once(open_store: Callable[[], Repositories]) -> None:
    stores = [open_store(), open_store()]
    slugs = [f"task{n}" for n in range(5)]
    for slug in slugs:
        built_task(stores[0], slug)
    rounds = [[(slug, 1000 * number + second) for slug in slugs for second in range(80)] for number in range(4)]
    barrier = Barrier(2)

    def race(number: int) -> list[tuple[str, object]]:
        claimed: list[tuple[str, object]] = []
        for occurrences in rounds:
            # In opposite orders: stores that locked in the order of the claims would deadlock on PostgreSQL.
            claims = [claim_of(*occurrence) for occurrence in (occurrences if number else reversed(occurrences))]
            barrier.wait(10)
            claimed += [(run.task, run.scheduled_for) for run in stores[number].runs.claim(claims, at(5000))]
        return claimed

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(race, range(2))
    assert sorted(one + two) == sorted((slug, at(second)) for occurrences in rounds for slug, second in occurrences)


def test_concurrent_stores_that_finish_a_run_add_one_retry(open_store: Callable[[], Repositories]) -> None:
    stores = [open_store(), open_store()]
    built_task(stores[0])
    barrier = Barrier(2)

    def finish(number: int) -> list[str]:
        retries = []
        for run in runs:
            barrier.wait(10)
            _, retry = stores[number].runs.finish(result_of(run, RunState.FAILED, 500), retry_at=at(501))
            retries.append(retry.run_id if retry else "")
        return retries

    runs = [started(stores[0], "ping", 10 * tick) for tick in range(1, 11)]
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(finish, range(2))
    assert one == two
    assert sorted(one) == [run.run_id for run in stores[0].runs.open()]
    assert len(set(one)) == 10


_WORKING = """
from ledger_samples import at, claim_of, result_of
from repositories import Repositories
from keiji.states import RunState
from keiji_engine.storage.store import Store
store = Repositories(Store.open(settings, paths))
print("ready", flush=True)
tick = 0
while True:
    tick += 1
    [run] = store.runs.claim([claim_of("ping", 10 * tick)], at(10 * tick))
    store.runs.mark_running(run.run_id, at(10 * tick))
    state = RunState.FAILED if tick % 2 else RunState.SUCCEEDED
    store.runs.finish(result_of(run, state, 10 * tick + 1), retry_at=at(10 * tick + 5) if tick % 2 else None)
    print(tick, flush=True)
"""


def test_after_sigkill_the_database_is_consistent(
    open_store: Callable[[], Repositories],
    settings: Settings,
    other_process: Callable[[Settings, str], subprocess.Popen[str]],
) -> None:
    built_task(open_store())
    process = other_process(settings, _WORKING)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    while (line := process.stdout.readline()) != "15\n":
        assert line, "the process ended by itself"
    process.kill()
    process.wait(10)

    store = open_store()
    everything = store.runs.latest("ping", 1000)
    scheduled = {run.scheduled_for: run for run in everything if run.scheduled_for is not None and run.attempt == 1}
    assert len(scheduled) >= 15
    assert sorted(scheduled) == [at(10 * n) for n in range(1, len(scheduled) + 1)]
    assert store.tasks.get("ping").next_at == max(scheduled) + timedelta(seconds=10)
    retried = {run.scheduled_for for run in everything if run.trigger is Trigger.RETRY}
    assert retried == {moment for moment, run in scheduled.items() if run.state in FAILURES}
    assert [run.scheduled_for for run in store.runs.open() if run.is_live] in ([], [max(scheduled)])
    # And the next claim succeeds.
    assert started(store, "ping", 10 * (len(scheduled) + 1)).state is RunState.RUNNING
