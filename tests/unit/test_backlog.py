"""The backlog after downtime: which instants run, and which claims account for the others."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from planning import START, at, make_task, make_task_with_policy

from keiji.policy import Policy
from keiji.reasons import Code, reason
from keiji.records import Task
from keiji.schedule import ScheduleContext, cron, every
from keiji.states import RunState
from keiji_engine.scheduler.backlog import (
    INDIVIDUAL_ROWS,
    MAX_INSTANTS,
    CatchUpSelection,
    backlog_of,
    close_backlog,
    select_catch_up,
)


def select(task: Task, seconds: float) -> CatchUpSelection:
    return select_catch_up(task, at(seconds))


def states(selection: CatchUpSelection) -> list[tuple[RunState, int]]:
    """Return the state of each claim and the number of instants that it accounts for."""
    return [(claim.state, claim.count) for claim in selection.claims]


def test_catch_up_latest_runs_the_latest_instant_which_covers_the_others() -> None:
    selection = select(make_task(), 45)
    assert selection.runs == (at(40),)
    assert states(selection) == [(RunState.COALESCED, 1)] * 3
    assert {claim.reason.code for claim in selection.claims if claim.reason} == {Code.COVERED}
    assert selection.claims[0].reason == reason(Code.COVERED, due=at(40))
    assert selection.next_at == at(50)


def test_an_instant_that_is_one_second_late_runs_with_any_policy() -> None:
    for catch_up in ("latest", "none", "earliest", "all"):
        assert select(make_task_with_policy(catch_up=catch_up, catch_up_window=1), 11).runs == (at(10),)


def test_catch_up_none_misses_instants_that_are_more_than_a_minute_late() -> None:
    selection = select(make_task_with_policy(catch_up="none", seconds=50), 205)
    assert selection.runs == (at(200),)
    assert [(claim.scheduled_for, claim.state, claim.reason) for claim in selection.claims] == [
        (at(50), RunState.MISSED, reason(Code.CATCH_UP_NONE)),
        (at(100), RunState.MISSED, reason(Code.CATCH_UP_NONE)),
        (at(150), RunState.COALESCED, reason(Code.COVERED, due=at(200))),
    ]
    assert select(make_task_with_policy(catch_up="none", seconds=500), 700).runs == ()


def test_catch_up_earliest_runs_the_first_instant() -> None:
    selection = select(make_task_with_policy(catch_up="earliest"), 45)
    assert selection.runs == (at(10),)
    assert [claim.scheduled_for for claim in selection.claims] == [at(20), at(30), at(40)]
    assert selection.claims[0].reason == reason(Code.COVERED, due=at(10))


def test_catch_up_earliest_runs_nothing_more_of_a_backlog_that_has_been_started() -> None:
    selection = select_catch_up(make_task_with_policy(catch_up="earliest"), at(45), is_continued=True)
    assert selection.runs == ()
    assert states(selection) == [(RunState.COALESCED, 1)] * 4
    assert selection.claims[0].reason == reason(Code.COVERED_EARLIER)


def test_catch_up_all_runs_the_newest_instants_up_to_the_cap() -> None:
    selection = select(make_task_with_policy(catch_up="all", catch_up_cap=3), 55)
    assert selection.runs == (at(30), at(40), at(50))
    assert states(selection) == [(RunState.MISSED, 1)] * 2
    assert selection.claims[0].reason == reason(Code.CATCH_UP_CAP, cap=3)


def test_instants_before_the_window_are_missed() -> None:
    selection = select(make_task_with_policy(catch_up="all", catch_up_window=100, seconds=60), 310)
    assert selection.runs == (at(240), at(300))
    assert selection.claims[0].reason == reason(Code.CATCH_UP_WINDOW, window=100.0)
    assert select(make_task_with_policy(catch_up_window=100, seconds=1000), 1200).runs == ()


def test_the_newest_instants_get_a_row_each_and_the_older_ones_share_a_row() -> None:
    older, *newest = select(make_task(seconds=1), 10_000).claims
    count = 10_000 - INDIVIDUAL_ROWS
    assert (older.count, older.scheduled_for, older.scheduled_until) == (count, at(1), at(count))
    assert [claim.scheduled_for for claim in newest] == [at(count + n) for n in range(1, INDIVIDUAL_ROWS)]


def test_catch_up_earliest_splits_the_shared_row() -> None:
    selection = select(make_task_with_policy(catch_up="earliest", seconds=1), 10_000)
    assert selection.runs == (at(1),)
    shared = selection.claims[0]
    assert (shared.scheduled_for, shared.count) == (at(2), 10_000 - INDIVIDUAL_ROWS - 1)
    selection = select(make_task_with_policy(catch_up="earliest", catch_up_window=5000, seconds=1), 10_000)
    assert selection.runs == (at(5000),)
    outside, inside, *_ = selection.claims
    assert (outside.state, outside.scheduled_for, outside.scheduled_until, outside.count) == (
        RunState.MISSED,
        at(1),
        at(4999),
        4999,
    )
    assert (inside.state, inside.scheduled_for, inside.count) == (RunState.COALESCED, at(5001), 4900)


def test_a_backlog_beyond_the_limit_takes_several_selections() -> None:
    schedule = cron("* * * * * *").with_context(ScheduleContext())
    task = make_task(schedule=schedule, next_at=at(1))
    seconds = MAX_INSTANTS * 2.5
    total, rounds = 0, 0
    while task.next_at is not None and task.next_at <= at(seconds):
        selection = select(task, seconds)
        total += len(selection.runs) + sum(claim.count for claim in selection.claims)
        task = make_task(schedule=schedule, next_at=selection.next_at)
        rounds += 1
    assert (total, rounds) == (seconds, 3)


def test_only_the_end_of_a_gap_has_individual_rows_however_many_selections_it_takes() -> None:
    schedule = cron("* * * * * *").with_context(ScheduleContext())
    task = make_task(schedule=schedule, next_at=at(1))
    first = select(task, MAX_INSTANTS + 500)
    assert [(claim.count, claim.continues, claim.scheduled_until) for claim in first.claims] == [
        (MAX_INSTANTS, True, at(MAX_INSTANTS))
    ]
    last = select(make_task(schedule=schedule, next_at=first.next_at), MAX_INSTANTS + 500)
    assert [(claim.count, claim.continues) for claim in last.claims] == [
        (500 - INDIVIDUAL_ROWS, True),
        *[(1, False)] * (INDIVIDUAL_ROWS - 1),
    ]
    assert last.runs == (at(MAX_INSTANTS + 500),)


def test_a_large_catch_up_cap_names_more_instants_only_if_they_run() -> None:
    claims = select(make_task_with_policy(seconds=1, catch_up_cap=1000), 10_000).claims
    assert len(claims) == INDIVIDUAL_ROWS
    selection = select(make_task_with_policy(seconds=1, catch_up_cap=1000, catch_up="all"), 10_000)
    assert (len(selection.runs), len(selection.claims)) == (1000, 1)
    missed = select(make_task_with_policy(seconds=1, catch_up_cap=1000, catch_up="all", catch_up_window=60), 10_000)
    assert (len(missed.runs), len(missed.claims)) == (61, INDIVIDUAL_ROWS + 1)
    assert sum(claim.count for claim in missed.claims) == 10_000 - 61


def test_the_cost_of_a_backlog_counts_iterated_instants_and_not_those_of_an_interval() -> None:
    by_cron = make_task(schedule=cron("* * * * * *").with_context(ScheduleContext()), next_at=at(1))
    assert backlog_of(by_cron, at(10_000), 20_000).cost == 10_000
    assert backlog_of(make_task(seconds=1), at(10_000)).cost == INDIVIDUAL_ROWS


def test_closing_a_backlog_gives_each_instant_the_state_and_the_reason() -> None:
    why = reason(Code.RUNNER_STOPPED)
    claims = close_backlog(make_task(), at(35), RunState.SKIPPED, why)
    assert [(claim.scheduled_for, claim.state, claim.reason) for claim in claims] == [
        (at(10), RunState.SKIPPED, why),
        (at(20), RunState.SKIPPED, why),
        (at(30), RunState.SKIPPED, why),
    ]
    assert close_backlog(make_task(), at(5), RunState.SKIPPED, why) == ()


@given(
    seconds=st.integers(1, 700),
    late=st.integers(0, 90_000),
    catch_up=st.sampled_from(["latest", "none", "earliest", "all"]),
    window=st.none() | st.integers(1, 100_000),
    cap=st.integers(1, 200),
)
def test_each_due_instant_is_accounted_for_exactly_once(
    seconds: int, late: int, catch_up: str, window: int | None, cap: int
) -> None:
    schedule = every(seconds).seconds.with_context(ScheduleContext(anchor=START))
    policy = Policy(catch_up=catch_up, catch_up_window=window, catch_up_cap=cap)
    task = make_task(schedule=schedule, policy=policy, next_at=at(seconds))
    selection = select_catch_up(task, at(seconds + late))
    expected = late // seconds + 1
    assert len(selection.runs) + sum(claim.count for claim in selection.claims) == expected
    assert selection.next_at == at((expected + 1) * seconds)
    rows = [*selection.runs, *(claim.scheduled_for for claim in selection.claims)]
    assert len(set(rows)) == len(rows)
    assert all((instant - START) % timedelta(seconds=seconds) == timedelta(0) for instant in rows)
    assert len(selection.runs) <= (cap if catch_up == "all" else 1)
    assert list(selection.runs) == sorted(selection.runs)
    assert all(claim.reason for claim in selection.claims)
    if catch_up in {"latest", "earliest"} and window is None:
        assert selection.runs == (at(expected * seconds if catch_up == "latest" else seconds),)
