"""Backfills beside the schedule: how many of their runs start, and what occurrences do meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import START, at, make_agenda, make_run, make_task, make_task_with_policy, queued, running

from keiji.reasons import Code
from keiji.records import Backfill, Pause, Run, Task
from keiji.schedule import Interval, ScheduleContext, cron, every, manual, on
from keiji.schedule.several import combine
from keiji.states import RunState, Trigger
from keiji_engine.scheduler.backfill import (
    BackfillStep,
    RunningBackfill,
    instants_between,
    obstacle,
    plan_backfills,
    reach_back,
)
from keiji_engine.scheduler.model import Conditions
from keiji_engine.scheduler.planner import plan
from keiji_engine.scheduler.task_runs import TaskRuns

SERIES = 3


def backfill_of(task: Task, **values: Any) -> Backfill:
    """Return a running backfill of a task whose next instant is at START."""
    assert task.schedule is not None
    defaults: dict[str, Any] = {"next_at": START, "total": 100, "claimed": 0}
    return Backfill(
        id=1, task=task.slug, series=SERIES, first=START, last=at(990), schedule=task.schedule, created_at=START,
        **(defaults | values),
    )  # fmt: skip


def live_backfill(run_id: str = "b1", slug: str = "ping") -> Run:
    return make_run(RunState.RUNNING, run_id, slug, trigger=Trigger.BACKFILL, series=SERIES, scheduled_for=at(-100))


def retry(due: float, run_id: str = "b2") -> Run:
    """Return a run of a backfill that waits for a retry."""
    return queued(due, run_id, trigger=Trigger.BACKFILL, series=SERIES, scheduled_for=at(-100), attempt=2)


def step_of(
    task: Task, runs: list[Run], *, live: int = 0, seconds: float = 0, limit: int | None = None, **values: Any
) -> BackfillStep | None:
    """Return what a backfill of the task does beside some open runs of it; None for nothing."""
    state = RunningBackfill(backfill_of(task, **values), task, TaskRuns(runs))
    steps, _ = plan_backfills((state,), live, at(seconds), Conditions(max_parallel=limit))
    return steps[0] if steps else None


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace"])
def test_a_backfill_starts_one_run_while_the_task_is_idle(overlap: str) -> None:
    task = make_task_with_policy(overlap=overlap)
    step = step_of(task, [])
    assert step is not None
    assert (step.start, step.count) == ((), 1)
    for occupied in ([running()], [queued(500)], [queued(500, trigger=Trigger.RETRY)], [live_backfill()]):
        assert step_of(task, occupied, claimed=len(occupied)) is None


def test_parallel_runs_are_limited_by_the_backfill_by_the_policy_and_by_the_engine() -> None:
    task = make_task_with_policy(overlap="allow")
    assert [step_of(task, [], parallel=parallel).count for parallel in (1, 3)] == [1, 3]
    in_progress = [live_backfill("b1"), live_backfill("b2")]
    assert step_of(task, in_progress, parallel=3, claimed=2).count == 1
    assert step_of(task, in_progress, parallel=2, claimed=2) is None
    limited = make_task_with_policy(overlap="allow", max_parallel=3)
    assert step_of(limited, [running()], parallel=5).count == 2
    assert step_of(limited, [running(), queued(-1)], parallel=5).count == 1
    assert step_of(task, [], parallel=5, live=8, limit=10).count == 2
    assert step_of(task, [], parallel=5, live=10, limit=10) is None


def test_a_retry_keeps_its_place_and_starts_when_it_is_due() -> None:
    task = make_task()
    assert step_of(task, [retry(5)], claimed=1) is None
    due = step_of(task, [retry(5)], claimed=1, seconds=5)
    assert due is not None
    assert ([run.run_id for run in due.start], due.count) == (["b2"], 0)
    state = RunningBackfill(backfill_of(task, claimed=1), task, TaskRuns([retry(5)]))
    assert plan_backfills((state,), 0, at(0), Conditions()) == ((), at(5))
    last = step_of(task, [retry(5)], claimed=100, next_at=None, seconds=6)
    assert last is not None
    assert last.start == (retry(5),)


def test_two_backfills_share_the_slots_of_the_engine() -> None:
    one, two = make_task("one"), make_task("two")
    states = tuple(RunningBackfill(backfill_of(task), task, TaskRuns()) for task in (one, two))
    steps, _ = plan_backfills(states, 0, at(0), Conditions(max_parallel=1))
    assert [step.task.slug for step in steps] == ["one"]


def test_a_backfill_waits_while_its_task_is_held_back() -> None:
    pause = Pause(since=START)
    task = make_task()
    cases = [
        (task, Conditions(can_run=False), Code.RUNNER_STOPPED),
        (task, Conditions(pause=pause), Code.PAUSED),
        (make_task(pause=pause), Conditions(), Code.PAUSED),
        (make_task(is_disabled=True), Conditions(), Code.DISABLED),
        (make_task(held_at=START, failures=2), Conditions(), Code.HELD),
    ]
    for held_back, conditions, code in cases:
        state = RunningBackfill(backfill_of(held_back), held_back, TaskRuns())
        assert plan_backfills((state,), 0, at(0), conditions) == ((), None)
        why = obstacle(state, 0, at(0), conditions)
        assert why is not None
        assert why.code == code


def test_a_backfill_names_what_it_waits_for() -> None:
    task, allowing = make_task(), make_task_with_policy(overlap="allow", max_parallel=1)

    def code(owner: Task, runs: list[Run], live: int, limit: int | None = None) -> str:
        state = RunningBackfill(
            backfill_of(owner, claimed=sum(run.series == SERIES for run in runs)), owner, TaskRuns(runs)
        )
        why = obstacle(state, live, at(0), Conditions(max_parallel=limit))
        return why.code if why is not None else ""

    assert code(task, [], 0) == ""
    assert code(task, [running()], 1) == Code.WAITING_FOR_PREVIOUS
    assert code(task, [live_backfill()], 1) == ""
    assert code(allowing, [running()], 1) == Code.PARALLEL_LIMIT
    assert code(task, [], 1, limit=1) == Code.WAITING_FOR_SLOT
    assert code(task, [live_backfill()], 1, limit=1) == ""


# ── occurrences beside a backfill ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace"])
def test_an_occurrence_waits_for_a_live_run_of_a_backfill(overlap: str) -> None:
    task = make_task_with_policy(overlap=overlap)
    planned = plan(make_agenda([task], [live_backfill()]).view(at(10), Conditions()), at(10), Conditions())
    assert [(claim.state, claim.scheduled_for) for claim in planned.claims] == [(RunState.QUEUED, at(10))]
    assert planned.stop == ()
    waiting = queued(10, scheduled_for=at(10))
    later = make_agenda([replace(task, next_at=at(20))], [live_backfill(), waiting])
    assert plan(later.view(at(11), Conditions()), at(11), Conditions()).stop == ()
    idle = make_agenda([replace(task, next_at=at(20))], [waiting])
    assert plan(idle.view(at(11), Conditions()), at(11), Conditions()).start == (waiting,)


def test_of_several_occurrences_beside_a_backfill_one_waits_if_the_policy_skips() -> None:
    task = replace(make_task_with_policy(overlap="skip"), next_at=at(20))
    agenda = make_agenda([task], [live_backfill(), queued(10, scheduled_for=at(10))])
    [claim] = plan(agenda.view(at(20), Conditions()), at(20), Conditions()).claims
    assert claim.state is RunState.SKIPPED


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace", "allow"])
def test_a_pending_retry_of_a_backfill_delays_no_occurrence(overlap: str) -> None:
    agenda = make_agenda([make_task_with_policy(overlap=overlap, max_parallel=1, queue=1)], [retry(500)])
    planned = plan(agenda.view(at(10), Conditions()), at(10), Conditions())
    assert [claim.state for claim in planned.claims] == [RunState.STARTING]
    assert planned.skip == ()


def test_the_planner_leaves_the_retries_of_backfills_alone() -> None:
    agenda = make_agenda([make_task(next_at=None)], [retry(5)])
    view = agenda.view(at(10), Conditions())
    assert (view.waiting, view.next_at) == ((), None)
    assert not plan(view, at(10), Conditions())


# ── instants ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_instants_of_a_range_follow_the_daylight_saving_rules_of_the_schedule() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    schedule = on.day.at("2:30").with_context(ScheduleContext(zone="Europe/Berlin"))
    begin = datetime(2026, 3, 28, tzinfo=berlin)
    local = [
        instant.astimezone(berlin).isoformat()
        for instant in instants_between(schedule, begin, begin + timedelta(days=3))
    ]
    assert local == ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]


def test_both_ends_of_a_range_belong_to_it() -> None:
    schedule = cron("0 6 * * *").with_context(ScheduleContext(zone="UTC"))
    first = datetime(2026, 11, 1, 6, tzinfo=UTC)
    assert len(list(instants_between(schedule, first, first + timedelta(days=2)))) == 3


@given(st.integers(1, 500), st.integers(-100_000, 100_000), st.integers(1, 100_000))
def test_an_interval_reaches_back_on_its_own_grid(seconds: int, begin: int, length: int) -> None:
    schedule = every(seconds).seconds.with_context(ScheduleContext(anchor=START))
    reached = reach_back(schedule, at(begin))
    assert isinstance(reached, Interval)
    instants = list(instants_between(reached, at(begin), at(begin + length)))
    expected = [number for number in range(begin, begin + length + 1) if number % seconds == 0]
    if begin > 0:  # the anchor itself is not due
        assert reached == schedule
    assert instants == [at(number) for number in expected]


def test_several_intervals_reach_back_on_their_own_grids() -> None:
    schedule = combine([every(4).seconds, every(6).seconds]).with_context(ScheduleContext(anchor=START))
    instants = list(instants_between(reach_back(schedule, at(-10)), at(-10), at(10)))
    assert instants == [at(seconds) for seconds in (-8, -6, -4, 0, 4, 6, 8)]


def test_an_event_has_no_instants() -> None:
    assert list(instants_between(reach_back(manual, at(-10)), at(-10), at(10))) == []
