"""Backfills and reruns in the store: each instant of the range gets one run in a series of its own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ledger_samples import EVERY_TEN, at, built_task, ended, result_of, started
from repositories import Repositories

from keiji.errors import BackfillNotFound, BackfillRunning, RunNotFound
from keiji.reasons import Code, reason
from keiji.records import Backfill, Overrides, Run
from keiji.states import BackfillState, RunState, Trigger
from keiji_engine.storage.transactions import request_rerun

NOW = at(1000)


def created(store: Repositories, first: float = 10, last: float = 50, **options: object) -> Backfill:
    """Create a backfill of the task "ping", which is due every ten seconds."""
    total = int((last - first) // 10) + 1
    backfill: Backfill = store.backfills.create("ping", EVERY_TEN, at(first), at(last), NOW, total=total, **options)
    return backfill


def finish(store: Repositories, run: Run, state: RunState = RunState.SUCCEEDED) -> None:
    store.runs.finish(result_of(run, state, 1001))


def test_a_backfill_claims_each_instant_once_in_order(store: Repositories) -> None:
    built_task(store)
    before = store.tasks.get("ping")
    backfill = created(store)
    claimed: list[Run] = []
    for _ in range(4):
        runs = store.runs.claim_backfill(backfill.id, 2, NOW)
        claimed += runs
        for run in runs:
            finish(store, run)
    assert [run.scheduled_for for run in claimed] == [at(seconds) for seconds in (10, 20, 30, 40, 50)]
    assert {(run.trigger, run.series, run.attempt) for run in claimed} == {(Trigger.BACKFILL, backfill.series, 1)}
    done = store.backfills.get(backfill.id)
    assert (done.state, done.succeeded, done.failed, done.open, done.next_at) == (BackfillState.DONE, 5, 0, 0, None)
    assert done.finished_at == at(1001)
    # The schedule does not notice: it has its own instants, and last ran before.
    assert store.tasks.get("ping") == before
    assert store.backfills.running() == []


def test_instants_that_have_succeeded_in_any_series_are_skipped_unless_they_run_again(store: Repositories) -> None:
    built_task(store)
    ended(store, "ping", 10)
    ended(store, "ping", 20, RunState.FAILED)
    ended(store, "ping", 30)
    first = created(store)
    instants = [run.scheduled_for for run in store.runs.claim_backfill(first.id, 10, NOW)]
    assert instants == [at(20), at(40), at(50)]
    assert store.backfills.get(first.id).skipped == 2
    for run in store.runs.open():
        finish(store, run)
    assert store.runs.succeeded_instants("ping", at(10), at(45)) == {at(10), at(20), at(30), at(40)}
    nothing = created(store)
    assert store.runs.claim_backfill(nothing.id, 10, NOW) == []
    after = store.backfills.get(nothing.id)
    assert (after.state, after.skipped, after.claimed) == (BackfillState.DONE, 5, 0)
    again = created(store, again=True)
    assert len(store.runs.claim_backfill(again.id, 10, NOW)) == 5


def test_an_instant_with_an_open_run_waits_for_the_end_of_that_run(store: Repositories) -> None:
    built_task(store)
    live = started(store, "ping", 20)
    backfill = created(store)
    assert [run.scheduled_for for run in store.runs.claim_backfill(backfill.id, 10, NOW)] == [at(10)]
    assert store.runs.claim_backfill(backfill.id, 10, NOW) == []
    finish(store, live)
    assert [run.scheduled_for for run in store.runs.claim_backfill(backfill.id, 10, NOW)] == [at(30), at(40), at(50)]
    assert store.backfills.get(backfill.id).skipped == 1


def test_a_failed_instant_is_retried_with_its_due_instant_and_does_not_fail_the_task(store: Repositories) -> None:
    built_task(store)
    overrides = Overrides(env={"A": "1"})
    backfill = created(store, 10, 20, params={"n": 1}, overrides=overrides)
    first, second = store.runs.claim_backfill(backfill.id, 2, NOW)
    assert (first.params, first.overrides) == ({"n": 1}, overrides)
    _, retry = store.runs.finish(result_of(first, RunState.FAILED, 1001), retry_at=at(1002))
    assert retry is not None
    assert (retry.trigger, retry.attempt, retry.scheduled_for) == (Trigger.BACKFILL, 2, at(10))
    assert (retry.series, retry.params, retry.overrides) == (backfill.series, {"n": 1}, overrides)
    assert store.backfills.get(backfill.id).open == 2
    finish(store, second)
    finish(store, store.runs.start_queued(retry.run_id, at(1002)), RunState.FAILED)
    done = store.backfills.get(backfill.id)
    assert (done.state, done.succeeded, done.failed) == (BackfillState.DONE, 1, 1)
    task = store.tasks.get("ping")
    assert (task.is_error, task.failures) == (False, 0)


def test_a_cancelled_retry_counts_as_failed(store: Repositories) -> None:
    built_task(store)
    backfill = created(store, 10, 10)
    [run] = store.runs.claim_backfill(backfill.id, 1, NOW)
    store.runs.finish(result_of(run, RunState.FAILED, 1001), retry_at=at(1002))
    store.runs.cancel_queued("ping", reason(Code.STOPPED), at(1001))
    done = store.backfills.get(backfill.id)
    assert (done.state, done.failed, done.open) == (BackfillState.DONE, 1, 0)


def test_only_the_queued_runs_of_backfills_are_cancelled_for_a_new_one(store: Repositories) -> None:
    built_task(store)
    failed = store.runs.insert_manual("ping", at(1))
    _, regular = store.runs.finish(result_of(failed, RunState.FAILED, 2), retry_at=at(2000))
    backfill = created(store, 10, 20)
    [run] = store.runs.claim_backfill(backfill.id, 1, NOW)
    store.runs.finish(result_of(run, RunState.FAILED, 1001), retry_at=at(2000))
    store.backfills.stop(backfill.id, NOW)
    [cancelled] = store.runs.cancel_queued_backfills("ping", reason(Code.STOPPED), NOW)
    assert (cancelled.state, cancelled.series, cancelled.attempt) == (RunState.STOPPED, backfill.series, 2)
    assert store.runs.open() == [regular]
    assert (store.backfills.get(backfill.id).failed, store.backfills.get(backfill.id).open) == (1, 0)


def test_the_same_end_counts_once(store: Repositories) -> None:
    built_task(store)
    backfill = created(store)
    [run] = store.runs.claim_backfill(backfill.id, 1, NOW)
    for _ in range(2):
        finish(store, run)
    assert store.backfills.get(backfill.id).succeeded == 1


def test_a_stopped_backfill_claims_nothing_until_it_is_resumed(store: Repositories) -> None:
    built_task(store)
    backfill = created(store)
    [run] = store.runs.claim_backfill(backfill.id, 1, NOW)
    stopped = store.backfills.stop(backfill.id, NOW)
    assert (stopped.state, stopped.finished_at) == (BackfillState.STOPPED, NOW)
    assert store.runs.claim_backfill(backfill.id, 1, NOW) == []
    finish(store, run)
    assert store.backfills.get(backfill.id).succeeded == 1
    resumed = store.backfills.resume(backfill.id, NOW)
    assert (resumed.state, resumed.finished_at) == (BackfillState.RUNNING, None)
    assert [run.scheduled_for for run in store.runs.claim_backfill(backfill.id, 1, NOW)] == [at(20)]


def test_a_task_has_one_running_backfill(store: Repositories) -> None:
    built_task(store)
    built_task(store, "other")
    first = created(store)
    with pytest.raises(BackfillRunning, match=rf"ping already has a running backfill \({first.id}\)"):
        created(store)
    store.backfills.create("other", EVERY_TEN, at(10), at(10), NOW, total=1)
    store.backfills.stop(first.id, NOW)
    second = created(store)
    assert second.series > first.series
    with pytest.raises(BackfillRunning, match=rf"\({second.id}\)"):
        store.backfills.resume(first.id, NOW)
    assert [each.id for each in store.backfills.latest(10, "ping")] == [second.id, first.id]
    with pytest.raises(BackfillNotFound):
        store.backfills.get(99)


def test_an_instant_runs_in_the_series_of_the_schedule_although_a_backfill_has_run_it(store: Repositories) -> None:
    built_task(store)
    backfill = created(store, 10, 10)
    [run] = store.runs.claim_backfill(backfill.id, 1, NOW)
    finish(store, run)
    assert started(store, "ping", 10).series == 0
    # Setting back the clock considers the schedule alone.
    assert store.runs.instants_after("ping", at(0)) == {at(10)}


def test_backfills_are_deleted_with_their_task_and_with_the_history(store: Repositories) -> None:
    built_task(store)
    done, stopped = created(store, 10, 10), None
    [run] = store.runs.claim_backfill(done.id, 1, NOW)
    finish(store, run)
    stopped = created(store, 20, 20)
    store.backfills.stop(stopped.id, NOW)
    store.history.prune_before(NOW + timedelta(days=1), 100)
    assert [each.id for each in store.backfills.latest(10)] == [stopped.id]
    store.tasks.delete("ping")
    assert store.backfills.latest(10) == []


def test_a_rerun_repeats_the_due_instant_and_the_parameters_in_a_series_of_its_own(store: Repositories) -> None:
    built_task(store)
    built_task(store, "other")
    scheduled = ended(store, "ping", 10)
    manual = store.runs.insert_manual("ping", at(11), params={"n": 41}, overrides=Overrides(due=at(5)))
    finish(store, manual)
    repeated: list[Run] = []
    for number, original in enumerate((scheduled, scheduled, manual)):
        [run] = store.write(request_rerun("ping", original.run_id, at(1100 + number), None)).runs.values()
        assert (run.trigger, run.state, run.attempt) == (Trigger.RERUN, RunState.STARTING, 1)
        assert (run.scheduled_for, run.params, run.overrides) == (
            original.scheduled_for, original.params, original.overrides,
        )  # fmt: skip
        finish(store, run)
        repeated.append(run)
    assert len({run.series for run in repeated}) == 3
    assert min(run.series for run in repeated) > 0
    with pytest.raises(RunNotFound):
        store.write(request_rerun("other", scheduled.run_id, at(1200), None))


def test_a_rerun_fails_the_task_as_a_manual_run_does(store: Repositories) -> None:
    built_task(store)
    original = ended(store, "ping", 10)
    run = store.write(request_rerun("ping", original.run_id, at(1100), None)).run
    _, retry = store.runs.finish(result_of(run, RunState.FAILED, 1101), retry_at=at(1102))
    assert retry is not None
    assert (retry.trigger, retry.series, retry.scheduled_for) == (Trigger.RETRY, run.series, at(10))
    finish(store, store.runs.start_queued(retry.run_id, at(1102)), RunState.FAILED)
    assert store.tasks.get("ping").failures == 1


def test_a_manual_run_waits_for_a_live_run_of_a_backfill(store: Repositories) -> None:
    built_task(store)
    original = ended(store, "ping", 10)
    backfill = created(store, 20, 30)
    store.runs.claim_backfill(backfill.id, 1, NOW)
    run = store.write(request_rerun("ping", original.run_id, at(1100), None)).run
    assert (run.state, run.reason) == (RunState.QUEUED, reason(Code.WAITING_FOR_PREVIOUS))
