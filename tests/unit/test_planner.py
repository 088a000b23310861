from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from keiji.policy import Policy, Retry
from keiji.records import Run, Task
from keiji.schedule import every, on
from keiji.states import RunState, Trigger
from keiji_engine.scheduler.planner import plan

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def a_task(slug: str = "ping", seconds: int = 10, **changes: object) -> Task:
    schedule = every(seconds).seconds.placed(anchor=START, zone="UTC")
    task = Task(
        id=1, task_id="t", name=slug, slug=slug, schedule=schedule, build="b1", next_at=schedule.next_after(START)
    )
    return replace(task, **changes)  # type: ignore[arg-type]


def a_run(state: RunState, due_at: datetime | None = None, run_id: str = "r1") -> Run:
    return Run(
        run_id=run_id,
        task="ping",
        trigger=Trigger.RETRY,
        state=state,
        created_at=START,
        due_at=due_at,
        attempt=2,
        started_at=START if state == RunState.RUNNING else None,
    )


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_nothing_is_due_before_its_time_and_the_plan_says_when_to_wake() -> None:
    decided = plan([a_task()], [], at(9.9))
    assert decided.claims == ()
    assert decided.wake_at == at(10)


def test_what_is_due_is_claimed_once_with_the_next_instant() -> None:
    [claim] = plan([a_task()], [], at(10)).claims
    assert (claim.scheduled_for, claim.next_at, claim.state) == (at(10), at(20), RunState.STARTING)
    assert claim.build == "b1"


def test_a_task_that_still_runs_skips_and_says_since_when() -> None:
    [claim] = plan([a_task()], [a_run(RunState.RUNNING)], at(10)).claims
    assert claim.state == RunState.SKIPPED
    assert "still running since 2026-03-01 12:00:00" in claim.reason


def test_a_task_that_waits_to_be_tried_again_skips_and_says_when() -> None:
    task = a_task(policy=Policy(retry=Retry(tries=3, delay=60)))
    [claim] = plan([task], [a_run(RunState.QUEUED, due_at=at(30))], at(10)).claims
    assert claim.state == RunState.SKIPPED
    assert claim.reason == "attempt 2 of 3 is to come at 2026-03-01 12:00:30 UTC"


def test_of_several_missed_instants_the_latest_runs_and_a_row_stands_for_the_others() -> None:
    first, latest = plan([a_task()], [], at(45)).claims
    assert (first.state, first.scheduled_for) == (RunState.COALESCED, at(10))
    assert "this and 2 later occurrences" in first.reason
    assert (latest.state, latest.scheduled_for, latest.next_at) == (RunState.STARTING, at(40), at(50))


def test_a_weekly_task_that_was_missed_by_days_still_runs() -> None:
    schedule = on.friday.at("22:00").placed(anchor=START, zone="Africa/Nairobi")
    due = schedule.next_after(START)
    [claim] = plan([a_task(schedule=schedule, next_at=due)], [], due + timedelta(days=3)).claims
    assert (claim.state, claim.scheduled_for) == (RunState.STARTING, due)
    assert claim.next_at == due + timedelta(days=7)


def test_disabled_and_unbuilt_tasks_are_left_alone() -> None:
    tasks = [a_task("disabled", next_at=None), a_task("unbuilt", schedule=None, next_at=None)]
    decided = plan(tasks, [], at(1000))
    assert (decided.claims, decided.begin, decided.wake_at) == ((), (), None)


def test_a_queued_run_begins_when_its_time_has_come() -> None:
    queued = a_run(RunState.QUEUED, due_at=at(5))
    assert plan([], [queued], at(4)).begin == ()
    assert plan([], [queued], at(4)).wake_at == at(5)
    assert plan([], [queued], at(5)).begin == ("r1",)


def test_a_queued_run_waits_for_the_live_run_of_its_task() -> None:
    open_runs = [a_run(RunState.RUNNING, run_id="r0"), a_run(RunState.QUEUED, due_at=at(5))]
    assert plan([], open_runs, at(6)).begin == ()


def test_what_is_due_is_claimed_in_due_order() -> None:
    tasks = [a_task("late", next_at=at(20)), a_task("early", next_at=at(10))]
    assert next(claim.task for claim in plan(tasks, [], at(25)).claims) == "early"


@given(
    seconds=st.integers(1, 5000),
    lateness=st.floats(0, 1e7, allow_nan=False),
)
def test_every_instant_up_to_now_is_accounted_for_and_the_next_one_lies_ahead(seconds: int, lateness: float) -> None:
    task = a_task(seconds=seconds)
    assert task.next_at is not None
    now = task.next_at + timedelta(seconds=lateness)
    claims = plan([task], [], now).claims
    latest = claims[-1]
    assert latest.next_at is not None
    assert latest.scheduled_for <= now < latest.next_at
    assert latest.next_at - latest.scheduled_for == timedelta(seconds=seconds)
    assert len(claims) == (1 if latest.scheduled_for == task.next_at else 2)
