"""How schedules continue: from now, in another zone, and after the clock was set back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from planning import START, at, make_task

from keiji.policy import Policy
from keiji.records import Task
from keiji.schedule import ScheduleContext, every, on
from keiji_engine.scheduler.clock_changes import anchor_schedule, move_schedule, set_back_tasks

NAIROBI, NEW_YORK = "Africa/Nairobi", "America/New_York"
NINE = on.day.at("9:00").with_context(ScheduleContext(anchor=START, zone=NAIROBI))


def at_nine(**changes: object) -> Task:
    return replace(make_task(), schedule=NINE, next_at=NINE.next_after(START), **changes)


def set_back(task: Task, now: datetime) -> tuple[datetime, datetime | None] | None:
    """Return the anchor and the next instant with which a task continues; None if it is not affected."""
    changed = list(set_back_tasks([task], NAIROBI, now))
    return (changed[0].schedule.context.anchor, changed[0].next_at) if changed else None


def test_an_anchored_interval_counts_from_now() -> None:
    schedule, next_at = anchor_schedule(every(10).minutes, Policy(), NAIROBI, at(5))
    assert (schedule.context.anchor, next_at) == (at(5), at(605))


def test_a_time_of_day_moves_with_the_zone() -> None:
    schedule, next_at = move_schedule(at_nine(), Policy(), NEW_YORK, START)
    assert schedule.context.zone == NEW_YORK
    assert next_at is not None
    assert (next_at.hour, NINE.next_after(START)) == (14, datetime(2026, 3, 2, 6, tzinfo=START.tzinfo))


def test_an_interval_keeps_its_anchor_in_another_zone() -> None:
    schedule, next_at = move_schedule(make_task(), Policy(), NEW_YORK, at(5))
    assert (schedule.context.anchor, next_at) == (START, at(10))


def test_an_instant_that_is_due_already_stays_due_in_another_zone() -> None:
    task = at_nine()
    assert task.next_at is not None
    assert move_schedule(task, Policy(), NEW_YORK, task.next_at)[1] == task.next_at


def test_after_a_set_back_an_interval_counts_from_now() -> None:
    assert set_back(make_task(next_at=at(3610)), at(3)) == (at(3), at(13))


def test_an_interval_that_started_just_before_a_set_back_does_not_wait_for_its_former_start() -> None:
    assert set_back(make_task(), at(-3600)) == (at(-3600), at(-3590))


def test_after_a_set_back_a_time_of_day_is_due_again() -> None:
    task = at_nine()
    assert task.next_at is not None
    following = NINE.next_after(task.next_at)
    assert set_back(replace(task, next_at=following), START) == (START, task.next_at)


def test_a_set_back_does_not_affect_a_task_that_is_due_as_early_as_before() -> None:
    assert set_back(at_nine(), START) is None
    assert set_back(make_task(), at(3)) is None
    assert set_back(make_task(schedule=None, next_at=None), START) is None


def test_after_a_set_back_a_disabled_task_stays_without_a_next_instant() -> None:
    assert set_back(make_task(next_at=None, is_disabled=True), at(3)) == (START, None)
