"""What was due while nothing looked: which instants run, and which rows account for the others."""

from __future__ import annotations

from datetime import UTC, timedelta

from hypothesis import given
from hypothesis import strategies as st
from planning import START, a_task, at, with_policy

from keiji.policy import Policy
from keiji.records import Task
from keiji.schedule import ScheduleContext, cron, every
from keiji.states import RunState
from keiji_engine.scheduler.backlog import MOST_AT_ONCE, NAMED, Due, chosen, unstarted


def due_of(task: Task, seconds: float) -> Due:
    return chosen(task, at(seconds), UTC)


def states(due: Due) -> list[tuple[RunState, int]]:
    return [(claim.state, claim.count) for claim in due.passed]


def test_the_latest_runs_and_stands_for_the_others() -> None:
    due = due_of(a_task(), 45)
    assert due.chosen == (at(40),)
    assert states(due) == [(RunState.COALESCED, 1)] * 3
    assert due.passed[0].reason == "it was not noticed in time; the one of 2026-03-01 12:00:40 UTC stands for it"
    assert due.next_at == at(50)


def test_what_is_a_second_late_runs_whatever_the_policy() -> None:
    for catch_up in ("latest", "none", "earliest", "all"):
        assert due_of(with_policy(catch_up=catch_up, catch_up_window=1), 11).chosen == (at(10),)


def test_catching_up_with_none_misses_what_is_more_than_a_minute_late() -> None:
    due = due_of(with_policy(catch_up="none", seconds=50), 205)
    assert due.chosen == (at(200),)
    assert [(claim.scheduled_for, claim.state) for claim in due.passed] == [
        (at(50), RunState.MISSED),
        (at(100), RunState.MISSED),
        (at(150), RunState.COALESCED),
    ]
    assert due_of(with_policy(catch_up="none", seconds=500), 700).chosen == ()


def test_the_earliest_runs_where_that_is_asked_for() -> None:
    due = due_of(with_policy(catch_up="earliest"), 45)
    assert due.chosen == (at(10),)
    assert [claim.scheduled_for for claim in due.passed] == [at(20), at(30), at(40)]


def test_all_run_up_to_the_cap_and_those_are_the_newest() -> None:
    due = due_of(with_policy(catch_up="all", catch_up_cap=3), 55)
    assert due.chosen == (at(30), at(40), at(50))
    assert states(due) == [(RunState.MISSED, 1)] * 2
    assert due.passed[0].reason == (
        "it was not noticed in time, and no more than the 3 newest are caught up with (catch_up_cap)"
    )


def test_what_lies_outside_the_window_is_missed() -> None:
    due = due_of(with_policy(catch_up="all", catch_up_window=100, seconds=60), 310)
    assert due.chosen == (at(240), at(300))
    assert due.passed[0].reason == ("it was not noticed in time, and longer ago than the 100 s of catch_up_window")
    assert due_of(with_policy(catch_up_window=100, seconds=1000), 1200).chosen == ()


def test_of_very_many_the_newest_have_rows_of_their_own_and_one_row_counts_the_others() -> None:
    older, *newest = due_of(a_task(seconds=1), 10_000).passed
    assert (older.count, older.scheduled_for, older.scheduled_until) == (10_000 - NAMED, at(1), at(10_000 - NAMED))
    assert [claim.scheduled_for for claim in newest] == [at(10_000 - NAMED + n) for n in range(1, NAMED)]


def test_the_earliest_of_very_many_runs_though_it_has_no_row_among_the_newest() -> None:
    due = due_of(with_policy(catch_up="earliest", seconds=1), 10_000)
    assert due.chosen == (at(1),)
    assert (due.passed[0].scheduled_for, due.passed[0].count) == (at(2), 10_000 - NAMED - 1)
    due = due_of(with_policy(catch_up="earliest", catch_up_window=5000, seconds=1), 10_000)
    assert due.chosen == (at(5000),)
    outside, inside, *_ = due.passed
    assert (outside.state, outside.scheduled_for, outside.scheduled_until, outside.count) == (
        RunState.MISSED,
        at(1),
        at(4999),
        4999,
    )
    assert (inside.state, inside.scheduled_for, inside.count) == (RunState.COALESCED, at(5001), 4900)


def test_an_endless_number_is_accounted_for_piece_by_piece() -> None:
    schedule = cron("* * * * * *").with_context(ScheduleContext())
    task = a_task(schedule=schedule, next_at=at(1))
    seconds = MOST_AT_ONCE * 2.5
    total, rounds = 0, 0
    while task.next_at is not None and task.next_at <= at(seconds):
        due = due_of(task, seconds)
        total += len(due.chosen) + sum(claim.count for claim in due.passed)
        task = a_task(schedule=schedule, next_at=due.next_at)
        rounds += 1
    assert (total, rounds) == (seconds, 3)


def test_what_is_not_to_run_at_all_is_accounted_for_as_well() -> None:
    claims = unstarted(a_task(), at(35), RunState.SKIPPED, "paused")
    assert [(claim.scheduled_for, claim.state, claim.reason) for claim in claims] == [
        (at(10), RunState.SKIPPED, "paused"),
        (at(20), RunState.SKIPPED, "paused"),
        (at(30), RunState.SKIPPED, "paused"),
    ]
    assert unstarted(a_task(), at(5), RunState.SKIPPED, "paused") == ()


@given(
    seconds=st.integers(1, 700),
    late=st.integers(0, 90_000),
    catch_up=st.sampled_from(["latest", "none", "earliest", "all"]),
    window=st.none() | st.integers(1, 100_000),
    cap=st.integers(1, 200),
)
def test_every_due_instant_is_accounted_for_exactly_once(
    seconds: int, late: int, catch_up: str, window: int | None, cap: int
) -> None:
    schedule = every(seconds).seconds.with_context(ScheduleContext(anchor=START))
    policy = Policy(catch_up=catch_up, catch_up_window=window, catch_up_cap=cap)
    task = a_task(schedule=schedule, policy=policy, next_at=at(seconds))
    now = at(seconds + late)
    due = chosen(task, now, UTC)
    expected = late // seconds + 1
    assert len(due.chosen) + sum(claim.count for claim in due.passed) == expected
    assert due.next_at == at((expected + 1) * seconds)
    rows = [*due.chosen, *(claim.scheduled_for for claim in due.passed)]
    assert len(set(rows)) == len(rows)
    assert all((instant - START) % timedelta(seconds=seconds) == timedelta(0) for instant in rows)
    assert len(due.chosen) <= (cap if catch_up == "all" else 1)
    assert list(due.chosen) == sorted(due.chosen)
    assert all(claim.reason for claim in due.passed)
    if catch_up in {"latest", "earliest"} and window is None:
        assert due.chosen == (at(expected * seconds if catch_up == "latest" else seconds),)
