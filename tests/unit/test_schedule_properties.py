"""Properties of all kinds of schedules, in every zone and with every daylight saving option."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from itertools import islice, pairwise, takewhile
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keiji import at_start, every, manual, on, on_change
from keiji.schedule import (
    DAYS,
    UNITS,
    Cron,
    DayTime,
    DstFold,
    DstGap,
    Interval,
    Once,
    Schedule,
    ScheduleContext,
    Several,
    combine,
)
from keiji.schedule.walltime import occurrences

PSEUDO_ZONES = ("posix/", "right/", "Factory", "localtime", "posixrules")
ZONES = sorted(name for name in available_timezones() if not name.startswith(PSEUDO_ZONES))
ZONES_WITH_DST = [
    "Africa/Cairo",
    "America/Santiago",
    "Antarctica/Troll",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "US/Eastern",
]
BEGIN, END = datetime(1970, 1, 2, tzinfo=UTC), datetime(2037, 12, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@cache
def transitions(zone: str) -> list[datetime]:
    """Return the approximate instants of clock changes, found by search because `zoneinfo` does not list them."""

    def offset(moment: datetime) -> timedelta | None:
        return moment.astimezone(tz).utcoffset()

    tz, changes = ZoneInfo(zone), []
    for start, end in pairwise(BEGIN + timedelta(weeks=4 * n) for n in range(68 * 13)):
        if offset(start) != offset(end):
            before, after = start, end
            while after - before > timedelta(minutes=1):
                middle = before + (after - before) / 2
                before, after = (middle, after) if offset(middle) == offset(start) else (before, middle)
            changes.append(after.replace(second=0, microsecond=0))
    return changes


moments = st.datetimes(BEGIN.replace(tzinfo=None), END.replace(tzinfo=None), timezones=st.just(UTC))
intervals = st.builds(Interval, interval=st.integers(1, 5000), units=st.sampled_from(sorted(UNITS)))
day_sets = st.sampled_from([DAYS, DAYS, DAYS[5:]]) | st.sets(st.sampled_from(DAYS), min_size=1).map(tuple)


def day_times(near: datetime) -> st.SearchStrategy[Schedule]:
    quarters = st.sampled_from([(near + timedelta(minutes=15 * n)).time() for n in range(-3, 5)])
    return st.builds(DayTime, day_sets, st.sets(quarters | quarters | st.times(), min_size=1, max_size=6).map(tuple))


def days_from(moment: datetime) -> st.SearchStrategy[datetime]:
    return st.timedeltas(timedelta(days=-30), timedelta(days=30)).map(moment.__add__)


crons = st.builds(
    lambda *fields: Cron(" ".join(filter(None, fields))),
    st.sampled_from(["", "", "", "*/20", "0", "59", "*"]),
    st.sampled_from(["*", "*/7", "0", "30", "5,35", "10-20", "1-59/9", "59"]),
    st.sampled_from(["*", "*/5", "0", "1", "2", "1-3", "23", "2,14", "0-23/6"]),
    st.sampled_from(["*", "*", "1", "L", "29-31", "*/10", "LW", "15"]),
    st.sampled_from(["*", "*", "3", "mar,oct", "*/2", "apr-sep"]),
    st.sampled_from(["*", "*", "sun", "0", "7", "sat,sun", "1-5", "sun#1", "0#1", "0L", "5#5", "*/2"]),
)


@st.composite
def cases(draw: st.DrawFn, *kinds: type[Schedule]) -> tuple[Schedule, datetime]:
    """Draw a schedule in some zone, and a moment, mostly near a clock change in that zone."""
    zone = draw(st.sampled_from(ZONES))
    is_near = bool(transitions(zone)) and draw(st.integers(0, 5)) > 0
    change = draw(st.sampled_from(transitions(zone)) if is_near else moments)
    near = change.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    quarters = st.sampled_from([timedelta(minutes=15 * n) for n in range(-12, 5)])
    moment = change + draw(quarters | quarters | st.timedeltas(timedelta(hours=-30), timedelta(hours=30)))
    moment += draw(st.sampled_from([timedelta(0), TICK, -TICK]))
    once = (quarters | st.timedeltas(timedelta(0), timedelta(days=40))).map(lambda later: Once(near + later))
    every_kind = {Interval: intervals, DayTime: day_times(near), Cron: crons, Once: once | st.builds(Once, moments)}
    each = st.one_of(list(every_kind.values()))
    several = st.lists(each, min_size=2, max_size=4, unique=True).map(lambda found: Several(tuple(found)))
    schedule = draw(st.one_of([{**every_kind, Several: several}[kind] for kind in kinds or (*every_kind, Several)]))
    bounds = st.just(None) if draw(st.integers(0, 3)) else st.none() | days_from(moment)
    return schedule.with_context(
        ScheduleContext(
            anchor=draw(moments),
            zone=zone,
            gap=draw(st.sampled_from([None, *DstGap])),
            fold=draw(st.sampled_from([None, *DstFold])),
            not_before=draw(bounds),
            until=draw(bounds),
        )
    ), moment


@st.composite
def days_of_change(draw: st.DrawFn) -> tuple[Schedule, datetime]:
    """Draw times of day around a clock change, and a moment in the hours before it."""
    zone = draw(st.sampled_from(ZONES_WITH_DST))
    change = draw(st.sampled_from(transitions(zone)))
    near = change.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    quarters = st.sampled_from([(near + timedelta(minutes=15 * n)).time() for n in range(-6, 6)])
    schedule = DayTime(DAYS, tuple(draw(st.sets(quarters, min_size=6))))
    context = ScheduleContext(zone=zone, gap=draw(st.sampled_from(DstGap)), fold=draw(st.sampled_from(DstFold)))
    return schedule.with_context(context), change - draw(st.timedeltas(timedelta(0), timedelta(hours=3)))


def property_test(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test with many generated examples; the variable KEIJI_EXAMPLES multiplies their number."""
    factor = float(os.environ.get("KEIJI_EXAMPLES", "1"))
    return lambda test: settings(max_examples=int(20 * factor))(given(*strategies)(test))


def first_instants(schedule: Schedule, moment: datetime, count: int = 4) -> list[datetime]:
    return list(islice(schedule.upcoming(moment), count))


# ── all schedules ────────────────────────────────────────────────────────────────────────────────────────────────────


@property_test(cases() | days_of_change())
def test_upcoming_instants_are_strictly_increasing_and_in_utc(case: tuple[Schedule, datetime]) -> None:
    schedule, moment = case
    instants = [moment, *first_instants(schedule, moment, 12)]
    assert all(earlier < later for earlier, later in pairwise(instants))
    assert all(instant.tzinfo is UTC for instant in instants)


@property_test(
    cases() | days_of_change(),
    st.timedeltas(timedelta(0), timedelta(days=2)) | st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_next_after_is_monotonic(case: tuple[Schedule, datetime], later: timedelta) -> None:
    schedule, moment = case
    first, second = schedule.next_after(moment), schedule.next_after(moment + later)
    assert second is None or (first is not None and first <= second)


@property_test(cases() | days_of_change(), st.floats(0, 1, exclude_max=True))
def test_no_instant_lies_between_a_moment_and_the_next_instant(case: tuple[Schedule, datetime], part: float) -> None:
    schedule, moment = case
    expected = schedule.next_after(moment)
    if expected is None:
        assert schedule.next_after(moment + timedelta(days=20)) is None
        return
    for between in (moment + (expected - TICK - moment) * part, expected - TICK):
        assert schedule.next_after(between) == expected


@property_test(cases() | days_of_change())
def test_upcoming_agrees_with_repeated_next_after_and_with_preview(
    case: tuple[Schedule, datetime],
) -> None:
    schedule, moment = case
    one_by_one: list[datetime] = []
    latest = schedule.next_after(moment)
    while latest is not None and len(one_by_one) < 6:
        one_by_one.append(latest)
        latest = schedule.next_after(latest)
    assert first_instants(schedule, moment, 6) == one_by_one
    previewed = (each.at for each in schedule.preview(moment) if not each.is_skipped)
    assert list(islice(previewed, 6)) == one_by_one


@property_test(cases() | days_of_change())
def test_a_preview_is_ordered_and_contains_skipped_times_only_with_dst_gap_skip(
    case: tuple[Schedule, datetime],
) -> None:
    schedule, moment = case
    previewed = list(islice(schedule.preview(moment), 16))
    assert all(earlier.at <= later.at for earlier, later in pairwise(previewed))
    for each in previewed:
        assert each.is_skipped == each.note.startswith("skipped: gap ")
        assert not each.is_skipped or schedule.context.gap is DstGap.SKIP


@property_test(
    cases(), st.sampled_from(ZONES).map(ZoneInfo) | st.integers(-720, 840).map(lambda n: timezone(timedelta(minutes=n)))
)
def test_the_zone_of_the_given_moment_does_not_matter(
    case: tuple[Schedule, datetime], elsewhere: ZoneInfo | timezone
) -> None:
    schedule, moment = case
    assert first_instants(schedule, moment.astimezone(elsewhere)) == first_instants(schedule, moment)
    assert first_instants(schedule, moment.astimezone(ZoneInfo(schedule.context.zone))) == first_instants(
        schedule, moment
    )


@property_test(cases(), st.integers(0, 4), st.integers(0, 4), st.sampled_from([timedelta(0), TICK, -TICK]))
def test_both_bounds_are_inclusive(case: tuple[Schedule, datetime], first: int, last: int, by: timedelta) -> None:
    schedule, moment = case
    unbounded = schedule.with_context(replace(schedule.context, not_before=None, until=None))
    instants = first_instants(unbounded, moment, 6)
    assume(len(instants) > max(first, last))
    not_before, until = instants[first] + by, instants[last] + by
    bounded = unbounded.with_context(replace(unbounded.context, not_before=not_before, until=until))
    assert list(bounded.upcoming(moment)) == [each for each in instants if not_before <= each <= until]


@property_test(cases(), st.integers(0, 40), st.timedeltas(timedelta(0), timedelta(days=9)), st.integers(1, 6))
def test_a_range_agrees_with_counting_each_instant(
    case: tuple[Schedule, datetime], later: int, beyond: timedelta, keep_latest: int
) -> None:
    schedule, moment = case
    instants = first_instants(schedule, moment, later + 1)
    assume(instants)
    first, moment = instants[0], instants[-1] + beyond
    counted = [first, *takewhile(lambda instant: instant <= moment, islice(schedule.upcoming(first), 2000))]
    assume(len(counted) < 2000)
    earlier, latest = counted[:-keep_latest], tuple(counted[-keep_latest:])
    result = schedule.range_until(first, moment, keep_latest=keep_latest, max_count=10_000)
    assert result == (len(earlier), earlier[0] if earlier else None, earlier[-1] if earlier else None, latest, None)


@property_test(cases(DayTime, Cron), st.integers(1, 20), st.integers(1, 6))
def test_a_range_stops_at_the_count_limit_and_returns_the_next_instant(
    case: tuple[Schedule, datetime], max_count: int, keep_latest: int
) -> None:
    schedule, moment = case
    counted = first_instants(schedule, moment, max_count + 1)
    assume(len(counted) == max_count + 1)
    *counted, beyond = counted
    limits = {"keep_latest": keep_latest, "max_count": max_count}
    result = schedule.range_until(counted[0], beyond + timedelta(days=1), **limits)
    assert (result.earlier_count + len(result.latest), result.next_instant) == (max_count, beyond)
    assert result.latest == tuple(counted[-keep_latest:])
    # A range that ends just before the next instant does not reach the limit.
    complete = schedule.range_until(counted[0], beyond - TICK, **limits)
    assert complete == result._replace(next_instant=None)


# ── intervals ────────────────────────────────────────────────────────────────────────────────────────────────────────


@property_test(cases(Interval), st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_an_interval_does_not_drift_when_it_is_evaluated_late(
    case: tuple[Interval, datetime], n: int, late: float
) -> None:
    schedule = case[0].with_context(replace(case[0].context, not_before=None, until=None))
    anchor, step = schedule.context.anchor, schedule.step
    late_by = timedelta(microseconds=int(late * (step / TICK)))
    assume(n * step < timedelta(days=300_000))
    assert schedule.next_after(anchor + n * step + late_by) == anchor + (n + 1) * step


def test_the_thousandth_occurrence_is_a_thousand_steps_after_the_anchor() -> None:
    anchor = datetime(2026, 11, 23, 7, 0, 0, 123456, tzinfo=UTC)
    *_, thousandth = first_instants(every(7).seconds.with_context(ScheduleContext(anchor=anchor)), anchor, 1000)
    assert thousandth == anchor + timedelta(seconds=7000)


def test_an_interval_is_first_due_one_step_after_its_anchor() -> None:
    anchor = datetime(2026, 11, 23, 7, tzinfo=UTC)
    schedule = every(10).minutes.with_context(ScheduleContext(anchor=anchor))
    assert schedule.next_after(anchor) == anchor + timedelta(minutes=10)
    assert schedule.next_after(anchor - timedelta(days=400)) == anchor + timedelta(minutes=10)


def test_the_range_of_an_interval_ends_at_its_bound() -> None:
    first = datetime(2026, 11, 23, 7, tzinfo=UTC)
    schedule = every(1).hours.with_context(ScheduleContext(until=first + timedelta(hours=3)))
    result = schedule.range_until(first, first + timedelta(days=1), keep_latest=1, max_count=1000)
    assert (result.earlier_count, result.latest) == (3, (first + timedelta(hours=3),))


def test_an_interval_of_days_ignores_daylight_saving() -> None:
    anchor = datetime(2026, 3, 7, 6, 30, tzinfo=UTC)
    schedule = every(1).days.with_context(ScheduleContext(anchor=anchor, zone="America/New_York"))
    assert first_instants(schedule, anchor, 2) == [anchor + timedelta(days=1), anchor + timedelta(days=2)]


# ── several schedules, and events ────────────────────────────────────────────────────────────────────────────────────


@property_test(cases(Several))
def test_several_schedules_are_due_whenever_one_of_them_is_and_once_at_an_instant(
    case: tuple[Several, datetime],
) -> None:
    schedule, moment = case
    instants = first_instants(schedule, moment, 30)
    last = instants[-1] if instants else moment
    due = {
        instant
        for each in schedule.schedules
        for instant in takewhile(lambda instant: instant <= last, each.upcoming(moment))
    }
    assert instants == sorted(due)
    following = [each.next_after(last) for each in schedule.schedules]
    assert schedule.next_after(last) == min(filter(None, following), default=None)


@property_test(cases(Several))
def test_a_list_of_schedules_previews_every_note_of_each_of_them(case: tuple[Several, datetime]) -> None:
    schedule, moment = case
    end = moment + timedelta(hours=3)
    previewed = list(takewhile(lambda each: each.at <= end, islice(schedule.preview(moment), 500)))
    assume(len(previewed) < 500)
    notes = {(each.at, each.is_skipped, note) for each in previewed for note in each.note.split(", ")}
    for own in schedule.schedules:
        for each in takewhile(lambda each: each.at <= end, own.preview(moment)):
            assert any((each.at, each.is_skipped, part) in notes for part in (each.note, "")) or not each.note
            assert not each.note or (each.at, each.is_skipped, each.note) in notes


@property_test(st.lists(intervals, min_size=1, max_size=3), moments, st.integers(1, 3))
def test_moving_the_anchor_back_by_its_period_changes_no_later_instant(
    parts: list[Interval], anchor: datetime, count: int
) -> None:
    schedule = combine(parts).with_context(ScheduleContext(anchor=anchor))
    period = schedule.anchored_period
    assume(period < timedelta(days=100_000))
    moved = schedule.with_context(ScheduleContext(anchor=anchor - count * period))
    assert first_instants(moved, anchor, 8) == first_instants(schedule, anchor, 8)
    assert moved.next_after(anchor - count * period) is not None


@pytest.mark.parametrize("event", [manual, at_start, on_change("/data/*.csv")])
def test_an_event_is_never_due(event: Schedule) -> None:
    assert (event.next_after(BEGIN), list(event.preview(BEGIN)), event.has_instants) == (None, [], False)
    assert event.events == (event,)


def test_a_list_combines_schedules_with_events() -> None:
    schedule = combine([every(2).hours, at_start, every(3).minutes, combine([at_start, on.day.at("9:00")])])
    assert schedule.source_form() == '[every(2).hours, at_start, every(3).minutes, on.day.at("09:00")]'
    assert (schedule.events, schedule.has_instants) == ((at_start,), True)
    assert schedule.anchored_step == timedelta(minutes=3)
    assert combine([at_start, on_change("/data")]).anchored_step == timedelta()
    assert not combine([at_start, on_change("/data")]).has_instants
    assert combine([at_start, at_start]) == at_start


# ── running time and limits ──────────────────────────────────────────────────────────────────────────────────────────


@property_test(
    st.sampled_from(ZONES), st.data(), st.sampled_from([5, 15, 60, 720]), st.none() | st.sampled_from(DstGap)
)
def test_few_candidates_are_examined_between_two_instants(
    zone: str, data: st.DataObject, minutes: int, gap: DstGap | None
) -> None:
    examined = 0

    def candidates(after: datetime) -> Iterator[datetime]:
        nonlocal examined
        wall_time = after.replace(minute=0, second=0, microsecond=0)
        while True:
            wall_time += timedelta(minutes=minutes)
            if wall_time > after:
                examined += 1
                yield wall_time

    start = data.draw(st.sampled_from(transitions(zone)) if transitions(zone) else moments) - timedelta(hours=13)
    due = occurrences(start, candidates, ZoneInfo(zone), gap=gap, fold=data.draw(st.sampled_from(DstFold)))
    # The longest gap is a day and the longest fold seven hours; each is examined in one pass, a fold at most twice.
    limit = (24 + 2 * 7) * 60 // minutes + 2
    for each in due:
        assert examined <= limit
        examined = 0
        if each.at > start + timedelta(days=2):
            break


@pytest.mark.parametrize("schedule", [on.day.at("00:00"), Cron("* * * * *"), Cron("0 0 29 2 *"), every(1).hours])
def test_nothing_is_due_after_the_last_datetime(schedule: Schedule) -> None:
    assert first_instants(schedule, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)) == []


def test_a_date_that_never_occurs_ends_the_search() -> None:
    # With a wildcard, both day fields must match, and a second Monday is neither the 1st nor the 31st.
    assert Cron("0 0 */30 * mon#2").next_after(BEGIN) is None
