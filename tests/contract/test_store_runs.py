"""Runs in the store: their states from claim to end, retries, and queries."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ledger_samples import EVERY_TEN, NOW, a_build, at, built_task, claim_of, ended, result_of, started
from repositories import Repositories

from keiji.errors import IllegalTransition, NotBuilt, RunNotFound
from keiji.reasons import Code, reason, text_reason
from keiji.records import Overrides, RunResult
from keiji.states import RunState, Trigger


def test_a_run_goes_from_claim_to_end(store: Repositories) -> None:
    built_task(store)
    [claimed] = store.runs.claim([claim_of("ping", 10)], at(10))
    running = store.runs.mark_running(claimed.run_id, at(10.25))
    assert (running.state, running.started_at) == (RunState.RUNNING, at(10.25))
    result = result_of(running, RunState.SUCCEEDED, 12.5)
    run, retry = store.runs.finish(result)
    assert retry is None
    assert run == replace(
        running,
        state=RunState.SUCCEEDED,
        finished_at=at(12.5),
        exit_code=0,
        cpu_seconds=0.75,
        peak_memory_bytes=5 * 1024**3,
        log_start=2**40,
        log_end=2**40 + 17,
    )
    assert run.seconds == 2.25
    assert store.runs.get(run.run_id) == run
    assert store.runs.open() == []


def test_a_run_may_end_before_its_start_was_recorded(store: Repositories) -> None:
    built_task(store)
    [claimed] = store.runs.claim([claim_of("ping", 10)], at(10))
    result = replace(result_of(claimed, RunState.FAILED, 12), started_at=at(10.125), signal=9, exit_code=None)
    run, _ = store.runs.finish(result)
    assert (run.state, run.started_at, run.signal, run.exit_code) == (RunState.FAILED, at(10.125), 9, None)


def test_a_result_without_a_start_keeps_the_recorded_start(store: Repositories) -> None:
    built_task(store)
    running = started(store, "ping", 10)
    run, _ = store.runs.finish(replace(result_of(running, RunState.LOST, 12), started_at=None))
    assert run.started_at == running.started_at


def test_recording_a_start_again_changes_nothing(store: Repositories) -> None:
    built_task(store)
    running = started(store, "ping", 10)
    assert store.runs.mark_running(running.run_id, at(99)) == running
    assert store.runs.get(running.run_id) == running


def test_a_bad_end_sets_the_error_of_the_task_until_a_success(store: Repositories) -> None:
    built_task(store)
    for seconds, state in ((10, RunState.FAILED), (20, RunState.TIMED_OUT), (30, RunState.LOST)):
        ended(store, "ping", seconds, state)
        task = store.tasks.get("ping")
        assert (task.is_error, task.error) == (True, text_reason(f"it {state}"))
    ended(store, "ping", 40, RunState.STOPPED)
    assert store.tasks.get("ping").is_error
    ended(store, "ping", 50, RunState.SUCCEEDED)
    task = store.tasks.get("ping")
    assert (task.is_error, task.error) == (False, None)


def test_a_retry_is_queued_with_the_end_of_the_failed_run(store: Repositories) -> None:
    built_task(store)
    failed, retry = store.runs.finish(result_of(started(store, "ping", 10), RunState.FAILED, 12), retry_at=at(13))
    assert retry is not None
    assert (retry.trigger, retry.state, retry.attempt) == (Trigger.RETRY, RunState.QUEUED, 2)
    assert (retry.scheduled_for, retry.due_at, retry.build) == (at(10), at(13), a_build().hash)
    assert retry.run_id > failed.run_id
    assert store.runs.open() == [retry]
    assert not store.tasks.get("ping").is_error


def test_the_last_failed_retry_sets_the_error_of_the_task(store: Repositories) -> None:
    built_task(store)
    run = started(store, "ping", 10)
    for attempt in (2, 3):
        _, retry = store.runs.finish(result_of(run, RunState.FAILED, 10 + attempt), retry_at=at(20))
        assert retry is not None
        assert retry.attempt == attempt
        run = store.runs.mark_running(store.runs.start_queued(retry.run_id, at(20)).run_id, at(20))
    why = reason(Code.EXIT_CODE, exit_code=3)
    last, no_retry = store.runs.finish(result_of(run, RunState.FAILED, 30, why))
    assert no_retry is None
    assert (last.attempt, last.reason) == (3, why)
    assert store.tasks.get("ping").error == why
    assert [run.attempt for run in store.runs.latest("ping", 9)] == [3, 2, 1]


def test_recording_an_end_again_changes_nothing_and_adds_no_second_retry(store: Repositories) -> None:
    built_task(store)
    result = result_of(started(store, "ping", 10), RunState.FAILED, 12)
    first = store.runs.finish(result, retry_at=at(13))
    assert store.runs.finish(result, retry_at=at(99)) == first
    assert store.runs.finish(replace(result, finished_at=at(98), exit_code=7), retry_at=at(99)) == first
    assert len(store.runs.latest("ping", 9)) == 2
    assert not store.tasks.get("ping").is_error


def test_recording_an_end_again_does_not_restore_a_resolved_error(store: Repositories) -> None:
    built_task(store)
    result = result_of(started(store, "ping", 10), RunState.FAILED, 12)
    store.runs.finish(result)
    store.tasks.resolve("ping")
    store.runs.finish(result)
    assert not store.tasks.get("ping").is_error


def test_recording_an_end_again_does_not_return_a_retry_that_started(store: Repositories) -> None:
    built_task(store)
    result = result_of(started(store, "ping", 10), RunState.FAILED, 12)
    _, retry = store.runs.finish(result, retry_at=at(13))
    assert retry is not None
    store.runs.start_queued(retry.run_id, at(13))
    assert store.runs.finish(result, retry_at=at(13))[1] is None


def test_illegal_transitions_are_refused_and_change_nothing(store: Repositories) -> None:
    built_task(store)
    done = ended(store, "ping", 10)
    for method in (
        lambda: store.runs.finish(result_of(done, RunState.FAILED, 99), retry_at=at(99)),
        lambda: store.runs.mark_running(done.run_id, at(99)),
        lambda: store.runs.start_queued(done.run_id, at(99)),
    ):
        with pytest.raises(IllegalTransition, match="a succeeded run cannot become"):
            method()
    running = started(store, "ping", 20)
    with pytest.raises(IllegalTransition, match="a running run cannot become skipped"):
        store.runs.finish(result_of(running, RunState.SKIPPED, 99))
    _, queued = store.runs.finish(result_of(running, RunState.FAILED, 21), retry_at=at(30))
    assert queued is not None
    with pytest.raises(IllegalTransition, match="a queued run cannot become running"):
        store.runs.mark_running(queued.run_id, at(99))
    assert store.runs.get(done.run_id) == done
    assert store.runs.open() == [queued]
    assert store.tasks.get("ping").last_at == at(20)


def test_an_unknown_run_is_not_found(store: Repositories) -> None:
    built_task(store)
    ghost = replace(started(store, "ping", 10), run_id="0" * 26)
    for method in (
        lambda: store.runs.get(ghost.run_id),
        lambda: store.runs.mark_running(ghost.run_id, NOW),
        lambda: store.runs.start_queued(ghost.run_id, NOW),
        lambda: store.runs.finish(result_of(ghost, RunState.FAILED, 1)),
    ):
        with pytest.raises(RunNotFound, match=r"there is no run '0+'"):
            method()


def test_a_manual_run_has_the_active_build_and_no_occurrence(store: Repositories) -> None:
    built_task(store)
    run = store.runs.insert_manual("ping", now=at(3))
    assert (run.trigger, run.state, run.scheduled_for) == (Trigger.MANUAL, RunState.STARTING, None)
    assert (run.created_at, run.build) == (at(3), a_build().hash)
    assert (store.tasks.get("ping").last_at, store.tasks.get("ping").next_at) == (at(3), at(10))
    # Any number of them, and of their retries: they share no unique key.
    other = store.runs.insert_manual("ping", now=at(3))
    for one in (run, other):
        _, retry = store.runs.finish(result_of(one, RunState.FAILED, 4), retry_at=at(5))
        assert retry is not None
        assert (retry.scheduled_for, retry.attempt) == (None, 2)


def test_a_manual_run_may_be_queued(store: Repositories) -> None:
    built_task(store)
    run = store.runs.insert_manual("ping", now=at(3), state=RunState.QUEUED)
    assert (run.state, run.due_at) == (RunState.QUEUED, at(3))
    assert store.tasks.get("ping").last_at is None
    assert store.runs.start_queued(run.run_id, at(7)).state is RunState.STARTING
    assert store.tasks.get("ping").last_at == at(7)


def test_a_task_without_a_build_cannot_be_run(store: Repositories) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    with pytest.raises(NotBuilt, match="ping has no build yet"):
        store.runs.insert_manual("ping", now=NOW)
    assert store.runs.latest("ping", 1) == []


def test_a_queued_run_starts_with_the_build_that_is_active_then(store: Repositories) -> None:
    built_task(store)
    _, retry = store.runs.finish(result_of(started(store, "ping", 10), RunState.FAILED, 12), retry_at=at(13))
    assert retry is not None
    store.tasks.activate("ping", a_build("b"), EVERY_TEN, at(20), now=at(12.5))
    assert store.runs.start_queued(retry.run_id, at(13)).build == "b" * 32


def test_cancelling_stops_the_queued_runs_of_one_task_only(store: Repositories) -> None:
    for slug in ("one", "two"):
        built_task(store, slug)
        store.runs.finish(result_of(started(store, slug, 10), RunState.FAILED, 12), retry_at=at(13))
    running = started(store, "one", 20)
    why = reason(Code.STOPPED, by="keiji-tui")
    [cancelled] = store.runs.cancel_queued("one", why, at(21))
    assert (cancelled.state, cancelled.reason, cancelled.finished_at) == (RunState.STOPPED, why, at(21))
    assert [run.task for run in store.runs.open()] == ["two", "one"]
    assert store.runs.get(running.run_id) == running
    assert store.runs.cancel_queued("one", why, at(22)) == []


def test_the_latest_runs_are_returned_newest_first_up_to_the_limit(store: Repositories) -> None:
    built_task(store)
    runs = [ended(store, "ping", 10 * n) for n in range(1, 6)]
    assert store.runs.latest("ping", 3) == [runs[4], runs[3], runs[2]]
    assert store.runs.latest("ping", 99) == runs[::-1]


def test_recent_runs_are_the_last_ended_ones_of_each_task_oldest_first(store: Repositories) -> None:
    for slug in ("busy", "calm", "new"):
        built_task(store, slug)
    busy = [ended(store, "busy", 10 * n, RunState.FAILED if n % 3 else RunState.SUCCEEDED) for n in range(1, 9)]
    calm = [ended(store, "calm", 10)]
    started(store, "calm", 20)
    assert store.runs.recent(5) == {"busy": busy[-5:], "calm": calm, "new": []}
    assert store.runs.recent(20) == {"busy": busy, "calm": calm, "new": []}


def test_recent_runs_had_a_process(store: Repositories) -> None:
    built_task(store)
    done = ended(store, "ping", 10)
    store.runs.claim([claim_of("ping", 20, RunState.SKIPPED), claim_of("ping", 30, RunState.MISSED)], at(31))
    failed, retry = store.runs.finish(result_of(started(store, "ping", 40), RunState.FAILED, 41), retry_at=at(42))
    assert retry is not None
    store.runs.cancel_queued("ping", reason(Code.STOPPED), at(42))
    skipped = store.runs.insert_manual("ping", now=at(43), state=RunState.QUEUED)
    store.runs.skip_queued(skipped.run_id, reason(Code.REPLACED), at(44))
    stopped = ended(store, "ping", 50, RunState.STOPPED)
    assert store.runs.recent(20)["ping"] == [done, failed, stopped]
    assert store.runs.recent(2)["ping"] == [failed, stopped]


def test_recent_runs_that_ended_at_the_same_instant_are_counted_once_each(store: Repositories) -> None:
    built_task(store)
    runs = [started(store, "ping", 10 * n) for n in range(1, 6)]
    for run in runs:
        store.runs.finish(result_of(run, RunState.SUCCEEDED, 100))
    assert [run.run_id for run in store.runs.recent(3)["ping"]] == [run.run_id for run in runs[-3:]]


def test_run_ids_sort_by_creation_even_if_the_clock_is_set_back(store: Repositories) -> None:
    built_task(store)
    ids = [store.runs.insert_manual("ping", now=at(-n)).run_id for n in range(5)]
    assert ids == sorted(ids)
    assert {len(run_id) for run_id in ids} == {26}


def test_params_and_overrides_are_kept_with_the_run_and_its_retries(store: Repositories) -> None:
    built_task(store)
    params = {"day": "2026-11-01", "n": 41, "dry": True}
    overrides = Overrides(env={"PGHOST": "db1"}, timeout=2.5, due=at(-3600))
    run = store.runs.insert_manual("ping", at(1), params=params, overrides=overrides)
    assert (run.series, run.params, run.overrides) == (0, params, overrides)
    assert store.runs.get(run.run_id) == run
    _, retry = store.runs.finish(RunResult(run_id=run.run_id, state=RunState.FAILED, finished_at=at(2)), retry_at=at(3))
    assert retry is not None
    assert (retry.params, retry.overrides, retry.attempt) == (params, overrides, 2)
    plain = store.runs.insert_manual("ping", at(5))
    assert (plain.params, plain.overrides) == ({}, None)
