"""When a schedule is due: strictly later, in order, and right where clocks are changed."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import islice, pairwise, product
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji import every, on
from keiji.errors import InvalidSchedule
from keiji.schedule import DAYS, EPOCH, UNITS, DayTime, Interval, Schedule, from_dict

ZONES = sorted(
    zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc/", "posix/", "right/"))
)

moments = st.datetimes(datetime(1970, 1, 2), datetime(2037, 12, 1), timezones=st.just(UTC))
intervals = st.builds(
    Interval,
    interval=st.integers(1, 10_000),
    units=st.sampled_from(sorted(UNITS)),
    anchor=st.datetimes(datetime(1970, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)),
)
day_times = st.builds(
    DayTime,
    day=st.sampled_from(DAYS),
    at=st.times().map(lambda clock: clock.replace(second=0, microsecond=0)),
    zone=st.sampled_from(ZONES),
)
schedules = intervals | day_times


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due_after(schedule: Schedule, moment: str, count: int) -> list[str]:
    found = islice(schedule.upcoming(utc(moment)), count)
    return [f"{instant:%Y-%m-%d %H:%M}" for instant in found]


def weekly(day: str, clock: str, zone: str) -> DayTime:
    return DayTime(day, time.fromisoformat(clock), zone)


# ── what holds for all of them ───────────────────────────────────────────────────────────────────────────────────────


@given(schedules, moments)
def test_what_comes_next_is_strictly_later_and_in_utc(schedule: Schedule, moment: datetime) -> None:
    following = schedule.next_after(moment)
    assert following is not None
    assert following > moment
    assert following.utcoffset() == timedelta(0)


@given(schedules, moments, st.timedeltas(timedelta(0), timedelta(days=30)))
def test_a_later_moment_never_has_an_earlier_instant(schedule: Schedule, moment: datetime, later: timedelta) -> None:
    sooner, latter = schedule.next_after(moment), schedule.next_after(moment + later)
    assert sooner is not None
    assert latter is not None
    assert sooner <= latter


@given(schedules, moments)
def test_nothing_lies_between_a_moment_and_what_comes_next(schedule: Schedule, moment: datetime) -> None:
    following = schedule.next_after(moment)
    assert following is not None
    for between in (moment + (following - moment) / 3, following - timedelta(microseconds=1)):
        assert schedule.next_after(between) == following


@given(schedules, moments, st.integers(-12 * 60, 14 * 60))
def test_the_zone_in_which_a_moment_is_written_does_not_matter(
    schedule: Schedule, moment: datetime, minutes: int
) -> None:
    elsewhere = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert schedule.next_after(elsewhere) == schedule.next_after(moment)


@given(schedules)
def test_a_schedule_survives_being_stored(schedule: Schedule) -> None:
    back = from_dict(json.loads(json.dumps(schedule.to_dict())))
    assert back == schedule
    assert type(back) is type(schedule)
    assert (back.words(), back.seed_form()) == (schedule.words(), schedule.seed_form())


# ── intervals ────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(intervals, st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_an_interval_never_drifts_however_late_it_is_looked_at(schedule: Interval, n: int, late: float) -> None:
    late_by = timedelta(microseconds=int(late * (schedule.step / timedelta(microseconds=1))))
    moment = schedule.anchor + n * schedule.step + late_by
    assert schedule.next_after(moment) == schedule.anchor + (n + 1) * schedule.step


def test_the_thousandth_occurrence_is_a_thousand_steps_after_the_anchor() -> None:
    anchor = utc("2026-11-23 07:00:00.123456")
    schedule = every(7).seconds.placed(anchor=anchor, zone="UTC")
    *_, thousandth = islice(schedule.upcoming(anchor), 1000)
    assert thousandth == anchor + timedelta(seconds=7000)


def test_an_interval_is_first_due_one_step_after_its_anchor() -> None:
    anchor = utc("2026-11-23 07:00:00")
    schedule = every(10).minutes.placed(anchor=anchor, zone="UTC")
    assert schedule.next_after(anchor) == anchor + timedelta(minutes=10)
    assert schedule.next_after(anchor - timedelta(days=400)) == anchor + timedelta(minutes=10)


def test_an_interval_knows_no_daylight_saving() -> None:
    schedule = every(1).hours.placed(anchor=utc("2026-03-08 05:30"), zone="America/New_York")
    assert due_after(schedule, "2026-03-08 05:30", 3) == ["2026-03-08 06:30", "2026-03-08 07:30", "2026-03-08 08:30"]


def test_an_anchor_is_kept_in_utc() -> None:
    anchor = datetime(2026, 11, 23, 10, 0, tzinfo=ZoneInfo("Africa/Nairobi"))
    placed = every(1).hours.placed(anchor=anchor, zone="Africa/Nairobi")
    assert isinstance(placed, Interval)
    assert placed.anchor == anchor
    assert placed.anchor.tzinfo is UTC


@pytest.mark.parametrize(
    ("schedule", "words", "seed_form"),
    [
        (every(10).seconds, "every 10 seconds", "units:seconds,interval:10"),
        (every(1).minutes, "every minute", "units:minutes,interval:1"),
        (every(24).hours, "every 24 hours", "units:hours,interval:24"),
        (on.friday.at("10:00PM"), "Fridays at 22:00", "day:Friday,time:10:00PM"),
        (on.monday.at("00:05"), "Mondays at 00:05", "day:Monday,time:12:05AM"),
    ],
)
def test_a_schedule_prints_itself_in_words_and_in_the_seeds_form(
    schedule: Schedule, words: str, seed_form: str
) -> None:
    assert (str(schedule), schedule.words(), schedule.seed_form()) == (words, words, seed_form)


def test_the_types_are_those_of_the_seed() -> None:
    assert every(1).seconds.type == "HMS"
    assert on.monday.at("1:00").type == "DayTime"


@pytest.mark.parametrize("interval", [0, -1, 1.5, "10", None, True])
def test_an_interval_that_is_no_whole_number_is_refused_where_it_is_written(interval: object) -> None:
    with pytest.raises(InvalidSchedule, match=r"every\(.*\): a whole number of 1 or more is needed"):
        every(interval)  # type: ignore[arg-type]


def test_an_interval_of_centuries_is_refused() -> None:
    with pytest.raises(InvalidSchedule, match="more than a hundred years"):
        _ = every(10**6).hours
    with pytest.raises(InvalidSchedule, match="the units are seconds, minutes, hours"):
        Interval(1, "fortnights")


# ── days and times ───────────────────────────────────────────────────────────────────────────────────────────────────


@given(day_times, moments)
def test_clocks_show_the_day_and_time_unless_they_were_put_past_it(schedule: DayTime, moment: datetime) -> None:
    zone = ZoneInfo(schedule.zone)
    instant = schedule.next_after(moment)
    shown = instant.astimezone(zone)
    if shown.time() == schedule.at and DAYS[shown.weekday()] == schedule.day:
        assert shown.fold == 0, "of two equal times the first is meant"
        return
    # Then this is the first instant after a gap, and the wanted time lies in the gap.
    just_before = (instant - timedelta(microseconds=1)).astimezone(zone).replace(tzinfo=None)
    wanted = datetime.combine(_last(schedule.day, shown.date()), schedule.at)
    assert just_before < wanted < shown.replace(tzinfo=None)


def _last(day: str, until: date) -> date:
    return until - timedelta(days=(until.weekday() - DAYS.index(day)) % 7)


@given(day_times, moments)
def test_every_week_has_its_occurrence(schedule: DayTime, moment: datetime) -> None:
    instants = list(islice(schedule.upcoming(moment), 6))
    gaps = [later - sooner for sooner, later in pairwise(instants)]
    # A change of clocks moves one by some hours; crossing the date line by a day.
    assert all(timedelta(days=6) <= gap <= timedelta(days=8, hours=1) for gap in gaps)


GOLDEN = {
    "an ordinary week": (
        weekly("friday", "22:00", "Africa/Nairobi"),
        "2026-11-23 07:00",
        ["2026-11-27 19:00", "2026-12-04 19:00"],
    ),
    "strictly later, on the very instant": (
        weekly("friday", "22:00", "Africa/Nairobi"),
        "2026-11-27 19:00",
        ["2026-12-04 19:00"],
    ),
    "New York: 02:30 is left out and happens at 03:00": (
        weekly("sunday", "02:30", "America/New_York"),
        "2026-03-01 12:00",
        ["2026-03-08 07:00", "2026-03-15 06:30"],
    ),
    "New York: 01:30 comes twice and happens the first time": (
        weekly("sunday", "01:30", "America/New_York"),
        "2026-10-26 12:00",
        ["2026-11-01 05:30", "2026-11-08 06:30"],
    ),
    "New York: between the two 01:30 the next is a week away": (
        weekly("sunday", "01:30", "America/New_York"),
        "2026-11-01 05:45",
        ["2026-11-08 06:30"],
    ),
    "Dublin, whose winter time is the daylight saving: 01:30 is left out": (
        weekly("sunday", "01:30", "Europe/Dublin"),
        "2026-03-23 00:00",
        ["2026-03-29 01:00", "2026-04-05 00:30"],
    ),
    "Dublin: 01:30 comes twice": (
        weekly("sunday", "01:30", "Europe/Dublin"),
        "2026-10-19 00:00",
        ["2026-10-25 00:30", "2026-11-01 01:30"],
    ),
    "Lord Howe, which moves by half an hour: 02:15 is left out": (
        weekly("sunday", "02:15", "Australia/Lord_Howe"),
        "2026-09-28 00:00",
        ["2026-10-03 15:30", "2026-10-10 15:15"],
    ),
    "Lord Howe: 01:45 comes twice": (
        weekly("sunday", "01:45", "Australia/Lord_Howe"),
        "2026-03-30 00:00",
        ["2026-04-04 14:45", "2026-04-11 15:15"],
    ),
    "Apia, which had no 30 December 2011: that Friday is Saturday's first instant": (
        weekly("friday", "12:00", "Pacific/Apia"),
        "2011-12-24 00:00",
        ["2011-12-30 10:00", "2012-01-05 22:00"],
    ),
    "Apia: at the end of that day, too": (
        weekly("friday", "23:59", "Pacific/Apia"),
        "2011-12-29 00:00",
        ["2011-12-30 10:00", "2012-01-06 09:59"],
    ),
    "Santiago, which goes forward at midnight: 00:15 happens at 01:00": (
        weekly("sunday", "00:15", "America/Santiago"),
        "2026-09-01 00:00",
        ["2026-09-06 04:00", "2026-09-13 03:15"],
    ),
    "Santiago, which goes back at midnight: Saturday's 23:30 comes twice": (
        weekly("saturday", "23:30", "America/Santiago"),
        "2026-03-30 00:00",
        ["2026-04-05 02:30", "2026-04-12 03:30"],
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_where_clocks_are_changed(case: str) -> None:
    schedule, moment, expected = GOLDEN[case]
    assert due_after(schedule, moment, len(expected)) == expected


def test_an_instant_that_a_gap_moved_happens_once() -> None:
    schedule = weekly("sunday", "02:30", "America/New_York")
    moment, seen = utc("2026-03-08 06:00"), set()
    while moment < utc("2026-03-08 09:00"):
        seen.add(schedule.next_after(moment))
        moment += timedelta(minutes=1)
    assert seen == {utc("2026-03-08 07:00"), utc("2026-03-15 06:30")}


@pytest.mark.parametrize("region", sorted({zone.partition("/")[0] for zone in ZONES}))
def test_no_change_of_clocks_anywhere_makes_it_stand_still_or_go_back(region: str) -> None:
    for zone in (zone for zone in ZONES if zone.startswith(f"{region}/")):
        changes = _months_with_a_change(ZoneInfo(zone))
        for before in changes[:: max(1, len(changes) // 3)]:
            # The hours around midnight of a weekend, in which nearly all changes are made.
            for clock, day in product(("00:00", "00:30", "02:15", "23:45"), ("saturday", "sunday")):
                instants = [before, *islice(weekly(day, clock, zone).upcoming(before), 5)]
                apart = [later - sooner for sooner, later in pairwise(instants)]
                assert all(timedelta(0) < gap <= timedelta(days=8, hours=1) for gap in apart), (zone, day, clock)


def _months_with_a_change(clocks: ZoneInfo) -> list[datetime]:
    months = [EPOCH + timedelta(weeks=4 * n) for n in range(68 * 13)]
    offsets = [month.astimezone(clocks).utcoffset() for month in months]
    return [month for month, (before, after) in zip(months, pairwise(offsets), strict=False) if before != after]


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        ("10:00PM", time(22)),
        ("22:00", time(22)),
        ("12:00AM", time(0)),
        ("12:30 pm", time(12, 30)),
        ("9:05 a.m.", time(9, 5)),
        ("0:00", time(0)),
        (" 23:59 ", time(23, 59)),
    ],
)
def test_times_of_day_are_read_on_either_clock(clock: str, expected: time) -> None:
    assert on.friday.at(clock) == DayTime("friday", expected)


@pytest.mark.parametrize("clock", ["", "24:00", "12:60", "13:00PM", "0:30AM", "noon", "10", "10:5", "١٠:٠٠", None, 10])
def test_what_is_no_time_of_day_is_refused_where_it_is_written(clock: object) -> None:
    with pytest.raises(InvalidSchedule, match=r'at\(.*\): a time of day is needed, such as "22:00" or "10:00PM"'):
        on.friday.at(clock)  # type: ignore[arg-type]


def test_placing_gives_a_time_of_day_its_zone_and_leaves_the_original() -> None:
    wanted = on.friday.at("22:00")
    assert wanted.placed(anchor=EPOCH, zone="Africa/Nairobi") == weekly("friday", "22:00", "Africa/Nairobi")
    assert wanted.zone == "UTC"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"type": "Cron", "line": "* * * * *"},
        {"type": "HMS", "interval": 0, "units": "seconds", "anchor": "2026-01-01T00:00:00+00:00"},
        {"type": "HMS", "interval": 1, "units": "seconds"},
        {"type": "HMS", "interval": 1, "units": "seconds", "anchor": "yesterday"},
        {"type": "DayTime", "day": "friday", "at": "25:00", "zone": "UTC"},
        [],
        None,
    ],
)
def test_stored_data_that_cannot_be_read_is_an_error_that_shows_it(data: object) -> None:
    with pytest.raises(InvalidSchedule, match="stored schedule"):
        from_dict(data)  # type: ignore[arg-type]
