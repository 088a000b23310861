"""How schedules continue: from now, in another zone, and after the clock was set back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from planning import START, at, make_task

from keiji.policy import Policy
from keiji.records import Task
from keiji.schedule import Schedule, ScheduleContext, at_start, combine, every, on
from keiji_engine.scheduler.clock_changes import (
    ClockRecord,
    FormerPlace,
    anchor_schedule,
    move_schedule,
    set_back_tasks,
)

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


def test_after_a_set_back_a_list_with_an_interval_counts_from_now() -> None:
    context = ScheduleContext(anchor=START, zone=NAIROBI)
    hours, days = every(1).hours, on.day.at("9:00")
    with_interval = combine([hours, days, at_start]).with_context(context)
    task = replace(make_task(), schedule=with_interval, next_at=with_interval.next_after(at(7200)))
    assert set_back(task, at(3)) == (at(3), min(at(3603), days.with_context(context).next_after(at(3)) or at(3603)))
    without = combine([days, at_start]).with_context(context)
    task = replace(make_task(), schedule=without, next_at=without.next_after(at(3)))
    assert set_back(task, at(3)) is None
    assert set_back(replace(task, schedule=at_start, next_at=None), at(3)) is None


def test_a_set_back_does_not_affect_a_task_that_is_due_as_early_as_before() -> None:
    assert set_back(at_nine(), START) is None
    assert set_back(make_task(), at(3)) is None
    assert set_back(make_task(schedule=None, next_at=None), START) is None


def test_a_set_back_does_not_affect_a_disabled_task() -> None:
    assert set_back(make_task(next_at=None, is_disabled=True), at(3)) is None


def test_an_instant_that_the_rules_of_the_zone_no_longer_have_is_placed_again() -> None:
    task = replace(at_nine(), next_at=START + timedelta(hours=3))  # as other rules would have it
    assert move_schedule(task, Policy(), NAIROBI, START) == (NINE, NINE.next_after(START))
    assert move_schedule(at_nine(), Policy(), NAIROBI, START) == (NINE, NINE.next_after(START))


# ── putting the clock right ──────────────────────────────────────────────────────────────────────────────────────────


def former_place(task: Task, now: datetime, earlier: FormerPlace | None = None) -> tuple[Task, FormerPlace]:
    """Return a task after a set-back to ``now``, and where it was before."""
    [move] = set_back_tasks([task], NAIROBI, now)
    return replace(task, schedule=move.schedule, next_at=move.next_at), FormerPlace.of(move, earlier)


def anchor_and_next(restored: tuple[Schedule, datetime | None] | None) -> tuple[datetime, datetime | None]:
    assert restored is not None
    return restored[0].context.anchor, restored[1]


def test_a_set_back_is_undone_by_setting_the_clock_to_where_it_was() -> None:
    record = ClockRecord(until=at(7200), at=at(0))
    assert record.is_undone(at(15), at(7215))
    assert record.is_undone(at(15), at(7190)), "the corrected clock may be a little behind"
    assert not record.is_undone(at(15), at(3600))
    assert not record.is_undone(at(7190), at(7260)), "the clock has caught up by itself"
    assert not record.is_outdated(at(7300))
    assert record.is_outdated(at(7200 + 3601))
    assert ClockRecord.from_dict(record.to_dict()) == record
    assert ClockRecord.from_dict(None) is None


def test_a_task_continues_where_it_was_when_a_set_back_is_undone() -> None:
    task = make_task(next_at=at(3610))
    moved, place = former_place(task, at(3))
    assert anchor_and_next(place.restore(moved, at(3605))) == (START, at(3610))
    again, place = former_place(replace(moved, next_at=at(93)), at(-100), place)
    assert anchor_and_next(place.restore(again, at(3605))) == (START, at(3610)), (
        "a second set-back does not hide the first"
    )
    assert FormerPlace.from_list(place.to_list()) == place


def test_a_task_that_was_rescheduled_after_a_set_back_is_left_alone_when_it_is_undone() -> None:
    moved, place = former_place(make_task(next_at=at(3610)), at(3))
    schedule, next_at = anchor_schedule(every(10).seconds, Policy(), NAIROBI, at(7))
    assert place.restore(replace(moved, schedule=schedule, next_at=next_at), at(3605)) is None
    assert place.restore(replace(moved, is_disabled=True), at(3605)) is None
    assert place.restore(replace(moved, schedule=None), at(3605)) is None


def test_a_former_instant_that_another_zone_does_not_have_is_placed_again() -> None:
    task = at_nine()
    assert task.next_at is not None
    following = NINE.next_after(task.next_at)
    moved, place = former_place(replace(task, next_at=following), START)
    elsewhere, _ = move_schedule(moved, Policy(), NEW_YORK, START)
    until = task.next_at + timedelta(hours=1)
    restored = place.restore(replace(moved, schedule=elsewhere), until)
    assert restored == (elsewhere, elsewhere.next_after(until))
