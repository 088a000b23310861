"""Where clocks are changed: instants worked out by hand from the facts of each zone.

All instants are in UTC, those in the names of cases as well.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice, takewhile

import pytest

from keiji import cron, every, on, once
from keiji.schedule import DstFold, DstGap, Occurrence, Schedule, ScheduleContext

NY, DUBLIN, LORD_HOWE, APIA = "America/New_York", "Europe/Dublin", "Australia/Lord_Howe", "Pacific/Apia"
SANTIAGO, NAIROBI, CASABLANCA, TROLL = "America/Santiago", "Africa/Nairobi", "Africa/Casablanca", "Antarctica/Troll"
AFTER, SKIP = DstGap.AFTER, DstGap.SKIP
FIRST, SECOND, BOTH = DstFold.FIRST, DstFold.SECOND, DstFold.BOTH


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def placed(schedule: Schedule, zone: str, gap: DstGap | None = None, fold: DstFold | None = None) -> Schedule:
    return schedule.with_context(ScheduleContext(zone=zone, gap=gap, fold=fold))


def due(schedule: Schedule, moment: str, count: int) -> list[str]:
    return [f"{instant:%Y-%m-%d %H:%M}" for instant in islice(schedule.upcoming(utc(moment)), count)]


def preview(schedule: Schedule, moment: str, count: int) -> list[Occurrence]:
    return list(islice(schedule.preview(utc(moment)), count))


def due_within(schedule: Schedule, start: str, end: str) -> list[str]:
    """Return the times of day, without days, between two instants of less than a day."""
    return [f"{instant:%H:%M}" for instant in takewhile(lambda at: at <= utc(end), schedule.upcoming(utc(start)))]


# ── times that are left out ──────────────────────────────────────────────────────────────────────────────────────────

# The zone; a time of day, daily, as both kinds say it; a moment before the change; the instant of the day before, the
# first after the gap, and that of the day after.
GAPS = {
    "New York goes from 02:00 to 03:00 at 07:00": (
        NY, "02:30", "30 2 * * *", "2026-03-07 00:00",
        "2026-03-07 07:30", "2026-03-08 07:00", "2026-03-09 06:30",
    ),
    "New York: 02:00 is the first that is left out": (
        NY, "02:00", "0 2 * * *", "2026-03-07 00:00",
        "2026-03-07 07:00", "2026-03-08 07:00", "2026-03-09 06:00",
    ),
    "Dublin, whose winter time is the daylight saving, goes from 01:00 to 02:00 at 01:00": (
        DUBLIN, "01:30", "30 1 * * *", "2026-03-28 00:00",
        "2026-03-28 01:30", "2026-03-29 01:00", "2026-03-30 00:30",
    ),
    "Lord Howe goes from 02:00 to 02:30, half an hour, at 15:30 the day before": (
        LORD_HOWE, "02:15", "15 2 * * *", "2026-10-02 00:00",
        "2026-10-02 15:45", "2026-10-03 15:30", "2026-10-04 15:15",
    ),
    "Apia had no 30 December 2011: it went from -10:00 to +14:00 at 10:00": (
        APIA, "12:00", "0 12 * * *", "2011-12-29 00:00",
        "2011-12-29 22:00", "2011-12-30 10:00", "2011-12-30 22:00",
    ),
    "Apia, the last minute that was left out": (
        APIA, "23:59", "59 23 * * *", "2011-12-30 00:00",
        "2011-12-30 09:59", "2011-12-30 10:00", "2011-12-31 09:59",
    ),
    "Santiago goes from 00:00 to 01:00 at 04:00: the day has no midnight": (
        SANTIAGO, "00:00", "0 0 * * *", "2024-09-07 00:00",
        "2024-09-07 04:00", "2024-09-08 04:00", "2024-09-09 03:00",
    ),
    "Casablanca goes on by an hour after Ramadan, at 02:00": (
        CASABLANCA, "02:30", "30 2 * * *", "2024-04-13 00:00",
        "2024-04-13 02:30", "2024-04-14 02:00", "2024-04-15 01:30",
    ),
    "Troll goes from 01:00 to 03:00, two hours, at 01:00": (
        TROLL, "02:45", "45 2 * * *", "2024-03-30 00:00",
        "2024-03-30 02:45", "2024-03-31 01:00", "2024-04-01 00:45",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["on", "cron"])
@pytest.mark.parametrize("case", GAPS)
def test_a_time_that_is_left_out_is_due_after_the_gap_or_skipped(case: str, kind: str) -> None:
    zone, clock, line, moment, before, after_gap, later = GAPS[case]
    schedule = on.day.at(clock) if kind == "on" else cron(line)
    assert due(placed(schedule, zone), moment, 3) == [before, after_gap, later]
    assert due(placed(schedule, zone, AFTER), moment, 3) == [before, after_gap, later]
    assert due(placed(schedule, zone, SKIP), moment, 2) == [before, later]
    assert preview(placed(schedule, zone, AFTER), moment, 3) == [
        Occurrence(utc(before)),
        Occurrence(utc(after_gap), f"after the gap: {clock}"),
        Occurrence(utc(later)),
    ]
    assert preview(placed(schedule, zone, SKIP), moment, 3) == [
        Occurrence(utc(before)),
        Occurrence(utc(after_gap), f"skipped: gap {clock}", is_skipped=True),
        Occurrence(utc(later)),
    ]


def test_several_times_in_one_gap_are_due_once_after_it_and_skipped_each() -> None:
    schedule = on.sunday.at("02:10", "02:30", "03:00")
    before, gap, week_later = "2026-03-08 00:00", utc("2026-03-08 07:00"), utc("2026-03-15 06:10")
    assert preview(placed(schedule, NY), before, 2) == [
        Occurrence(gap, "after the gap: 02:10"),
        Occurrence(week_later),
    ]
    assert preview(placed(schedule, NY, SKIP), before, 4) == [
        Occurrence(gap, "skipped: gap 02:10", is_skipped=True),
        Occurrence(gap, "skipped: gap 02:30", is_skipped=True),
        Occurrence(gap),  # 03:00 is there, and due
        Occurrence(week_later),
    ]


def test_every_gap_has_an_end_of_its_own() -> None:
    second_sundays_of_march = placed(cron("30 2 * 3 0#2"), NY)
    springs = ["2026-03-08 07:00", "2027-03-14 07:00", "2028-03-12 07:00"]
    assert due(second_sundays_of_march, "2026-01-01", 3) == springs


def test_an_instant_that_a_gap_moved_does_not_come_back() -> None:
    schedule = placed(on.sunday.at("02:30"), NY)
    assert due(schedule, "2026-03-08 06:59:59.999999", 2) == ["2026-03-08 07:00", "2026-03-15 06:30"]
    assert due(schedule, "2026-03-08 07:00", 1) == ["2026-03-15 06:30"]


# ── times that come twice ────────────────────────────────────────────────────────────────────────────────────────────

# As above; the instant of the day before, the first and the second of two, and that of the day after.
FOLDS = {
    "New York goes from 02:00 back to 01:00 at 06:00": (
        NY, "01:30", "30 1 * * *", "2026-10-31 00:00",
        "2026-10-31 05:30", "2026-11-01 05:30", "2026-11-01 06:30", "2026-11-02 06:30",
    ),
    "New York: 01:00 is the first that comes twice": (
        NY, "01:00", "0 1 * * *", "2026-10-31 00:00",
        "2026-10-31 05:00", "2026-11-01 05:00", "2026-11-01 06:00", "2026-11-02 06:00",
    ),
    "Dublin goes from 02:00 back to 01:00 at 01:00": (
        DUBLIN, "01:30", "30 1 * * *", "2026-10-24 00:00",
        "2026-10-24 00:30", "2026-10-25 00:30", "2026-10-25 01:30", "2026-10-26 01:30",
    ),
    "Lord Howe goes from 02:00 back to 01:30 at 15:00 the day before": (
        LORD_HOWE, "01:45", "45 1 * * *", "2026-04-03 00:00",
        "2026-04-03 14:45", "2026-04-04 14:45", "2026-04-04 15:15", "2026-04-05 15:15",
    ),
    "Santiago goes from midnight back to 23:00 at 03:00": (
        SANTIAGO, "23:30", "30 23 * * *", "2024-04-06 00:00",
        "2024-04-06 02:30", "2024-04-07 02:30", "2024-04-07 03:30", "2024-04-08 03:30",
    ),
    "Casablanca goes back by an hour for Ramadan, at 02:00": (
        CASABLANCA, "02:30", "30 2 * * *", "2024-03-09 00:00",
        "2024-03-09 01:30", "2024-03-10 01:30", "2024-03-10 02:30", "2024-03-11 02:30",
    ),
    "Troll goes from 03:00 back to 01:00 at 01:00": (
        TROLL, "02:45", "45 2 * * *", "2024-10-26 00:00",
        "2024-10-26 00:45", "2024-10-27 00:45", "2024-10-27 02:45", "2024-10-28 02:45",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["on", "cron"])
@pytest.mark.parametrize("case", FOLDS)
def test_a_time_that_comes_twice_is_due_as_chosen(case: str, kind: str) -> None:
    zone, clock, line, moment, before, first, second, later = FOLDS[case]
    schedule = on.day.at(clock) if kind == "on" else cron(line)
    assert due(placed(schedule, zone), moment, 3) == [before, first, later]
    assert due(placed(schedule, zone, fold=FIRST), moment, 3) == [before, first, later]
    assert due(placed(schedule, zone, fold=SECOND), moment, 3) == [before, second, later]
    assert due(placed(schedule, zone, fold=BOTH), moment, 4) == [before, first, second, later]
    # Between the two, only the second is still to come.
    assert due(placed(schedule, zone), first, 1) == [later]
    assert due(placed(schedule, zone, fold=SECOND), first, 1) == [second]
    assert due(placed(schedule, zone, fold=BOTH), first, 2) == [second, later]
    assert preview(placed(schedule, zone, fold=BOTH), moment, 4) == [
        Occurrence(utc(before)),
        Occurrence(utc(first), f"first of two {clock}"),
        Occurrence(utc(second), f"second of two {clock}"),
        Occurrence(utc(later)),
    ]


def test_once_is_due_once_or_both_times() -> None:
    twice, left_out = once("2026-11-01 01:30"), once("2026-03-08 02:30:30")
    assert due(placed(twice, NY), "2026-01-01", 9) == ["2026-11-01 05:30"]
    assert due(placed(twice, NY, fold=BOTH), "2026-01-01", 9) == ["2026-11-01 05:30", "2026-11-01 06:30"]
    assert due(placed(left_out, NY), "2026-01-01", 9) == ["2026-03-08 07:00"]
    assert due(placed(left_out, NY, SKIP), "2026-01-01", 9) == []
    split_second = placed(once("2026-03-08 02:30:00.5"), NY)
    assert split_second.next_after(utc("2026-01-01")) == utc("2026-03-08 07:00")
    assert [each.note for each in placed(left_out, NY, SKIP).preview(utc("2026-01-01"))] == ["skipped: gap 02:30:30"]
    assert due(placed(once("2026-03-08 02:30-05:00"), NY, SKIP), "2026-01-01", 9) == ["2026-03-08 07:30"]


# ── crons with a wildcard, which go by the real clock ────────────────────────────────────────────────────────────────

WILDCARDS = {
    # a line; zone; gap; fold; from; to; the instants
    "a gap: the quarters of 02 do not happen": (
        "*/20 2-3 * * *", NY, None, None, "2026-03-08 06:00", "2026-03-08 09:00", "07:00 07:20 07:40",
    ),
    "a gap, after it if asked for": (
        "*/20 2 * * *", NY, AFTER, None, "2026-03-08 06:00", "2026-03-08 09:00", "07:00",
    ),
    "every hour goes on every hour in spring": (
        "30 * * * *", NY, None, None, "2026-03-08 05:00", "2026-03-08 08:00", "05:30 06:30 07:30",
    ),
    "every hour goes on every hour in autumn": (
        "30 * * * *", NY, None, None, "2026-11-01 04:00", "2026-11-01 08:00", "04:30 05:30 06:30 07:30",
    ),
    "every hour leaves the second 01:30 out if asked to": (
        "30 * * * *", NY, None, FIRST, "2026-11-01 04:00", "2026-11-01 08:00", "04:30 05:30 07:30",
    ),
    "every hour leaves the first 01:30 out if asked to": (
        "30 * * * *", NY, None, SECOND, "2026-11-01 04:00", "2026-11-01 08:00", "04:30 06:30 07:30",
    ),
    "an hour that comes twice is followed twice": (
        "*/30 1 * * *", DUBLIN, None, None, "2026-10-24 23:59", "2026-10-25 03:00", "00:00 00:30 01:00 01:30",
    ),
    "what is left out in Dublin does not happen": (
        "*/30 1 * * *", DUBLIN, None, None, "2026-03-29 00:00", "2026-03-29 20:00", "",
    ),
    "half an hour back in Lord Howe: 01:30 and 01:45 come twice": (
        "*/15 1 * * *", LORD_HOWE, None, None, "2026-04-04 14:10", "2026-04-04 16:00", "14:15 14:30 14:45 15:00 15:15",
    ),
    "half an hour on in Lord Howe: every hour's 00 and 15 leave 02:00 and 02:15 out": (
        "0,15 * * * *", LORD_HOWE, None, None, "2026-10-03 14:40", "2026-10-03 16:30", "14:45 16:00 16:15",
    ),
    "Apia, from the 29th straight to the 31st": (
        "0 */6 * * *", APIA, None, None, "2011-12-30 00:00", "2011-12-30 23:00", "04:00 10:00 16:00 22:00",
    ),
    "Santiago: midnight does not happen, but at 01:00 if asked for": (
        "*/30 0 * * *", SANTIAGO, AFTER, None, "2024-09-08 00:00", "2024-09-08 12:00", "04:00",
    ),
    "Santiago: 23:00 comes twice": (
        "0 * * * *", SANTIAGO, None, None, "2024-04-07 00:59", "2024-04-07 05:00", "01:00 02:00 03:00 04:00 05:00",
    ),
    "Nairobi knows none of it": (
        "*/30 2 * * *", NAIROBI, AFTER, BOTH, "2026-03-07 23:00", "2026-03-08 20:00", "23:30",
    ),
    "seconds make a line go by the real clock": (
        "0 30 1 * * *", NY, None, None, "2026-11-01 04:00", "2026-11-01 08:00", "05:30 06:30",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WILDCARDS)
def test_a_wildcard_goes_by_the_real_clock_unless_told_otherwise(case: str) -> None:
    line, zone, gap, fold, start, end, expected = WILDCARDS[case]
    assert due_within(placed(cron(line), zone, gap, fold), start, end) == expected.split()


def test_the_real_clock_says_nothing_of_daylight_saving_unless_asked() -> None:
    start = "2026-11-01 04:00"
    notes = [each.note for each in preview(placed(cron("30 * * * *"), NY), start, 4)]
    assert notes == ["", "", "", ""]
    notes = [each.note for each in preview(placed(cron("30 * * * *"), NY, fold=BOTH), start, 4)]
    assert notes == ["", "first of two 01:30", "second of two 01:30", ""]


# ── ordinary days ────────────────────────────────────────────────────────────────────────────────────────────────────

ORDINARY = {
    "an ordinary week": (on.friday.at("22:00"), "2026-11-23 07:00", ["2026-11-27 19:00", "2026-12-04 19:00"]),
    "strictly later": (on.friday.at("22:00"), "2026-11-27 19:00", ["2026-12-04 19:00"]),
    "two days, two times": (
        on.monday.and_.friday.at("2:00", "22:00"), "2026-11-23 00:00",
        ["2026-11-23 19:00", "2026-11-26 23:00", "2026-11-27 19:00", "2026-11-29 23:00"],
    ),
    "either of the 13th and Fridays": (
        cron("0 12 13 * fri"), "2026-12-05", ["2026-12-11 09:00", "2026-12-13 09:00", "2026-12-18 09:00"],
    ),
    "with a star, both": (cron("0 12 */12 * fri"), "2026-11-01", ["2026-11-13 09:00", "2026-12-25 09:00"]),
    "leap days": (cron("0 12 29 2 *"), "2026-01-01", ["2028-02-29 09:00", "2032-02-29 09:00"]),
    "the last day of the month": (cron("0 12 L * *"), "2027-01-31 10:00", ["2027-02-28 09:00", "2027-03-31 09:00"]),
    "the last weekday": (cron("0 12 LW * *"), "2027-01-01", ["2027-01-29 09:00", "2027-02-26 09:00"]),
    "the fifth Friday": (cron("0 12 * * 5#5"), "2026-11-01", ["2027-01-29 09:00", "2027-04-30 09:00"]),
    "the last Sunday": (cron("0 12 * * 0L"), "2026-11-01", ["2026-11-29 09:00", "2026-12-27 09:00"]),
    "@weekly is Sunday's midnight": (cron("@weekly"), "2026-11-23", ["2026-11-28 21:00", "2026-12-05 21:00"]),
    "@monthly": (cron("@monthly"), "2026-11-23", ["2026-11-30 21:00", "2026-12-31 21:00"]),
    "@yearly": (cron("@yearly"), "2026-11-23", ["2026-12-31 21:00", "2027-12-31 21:00"]),
    "@hourly": (cron("@hourly"), "2026-11-23 05:30", ["2026-11-23 06:00", "2026-11-23 07:00"]),
    "days are 24 hours, from 1970 on": (every(2).days, "2026-11-23 05:30", ["2026-11-25 00:00", "2026-11-27 00:00"]),
    "once, by clocks": (once("2027-01-01 00:00"), "2026-11-23", ["2026-12-31 21:00"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ORDINARY)
def test_ordinary_days_in_nairobi(case: str) -> None:
    schedule, moment, expected = ORDINARY[case]
    assert due(placed(schedule, NAIROBI), moment, len(expected)) == expected
