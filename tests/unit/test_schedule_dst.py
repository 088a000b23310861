"""Daylight saving transitions: expected instants worked out by hand from the rules of each zone.

All instants are in UTC, including those in the names of the cases.
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


def in_zone(schedule: Schedule, zone: str, gap: DstGap | None = None, fold: DstFold | None = None) -> Schedule:
    return schedule.with_context(ScheduleContext(zone=zone, gap=gap, fold=fold))


def due(schedule: Schedule, start: str, count: int) -> list[str]:
    return [f"{instant:%Y-%m-%d %H:%M}" for instant in islice(schedule.upcoming(utc(start)), count)]


def preview(schedule: Schedule, start: str, count: int) -> list[Occurrence]:
    return list(islice(schedule.preview(utc(start)), count))


def due_within(schedule: Schedule, start: str, end: str) -> list[str]:
    """Return the due times between two instants less than a day apart, without the date."""
    return [f"{instant:%H:%M}" for instant in takewhile(lambda at: at <= utc(end), schedule.upcoming(utc(start)))]


# ── gaps ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

# zone; daily time for `on` and for `cron`; start, before the transition; the instant on the day before, the first
# instant after the gap, and the instant on the day after
GAPS = {
    "New York moves from 02:00 to 03:00 at 07:00": (
        NY, "02:30", "30 2 * * *", "2026-03-07 00:00",
        "2026-03-07 07:30", "2026-03-08 07:00", "2026-03-09 06:30",
    ),
    "New York: 02:00 is the first time in the gap": (
        NY, "02:00", "0 2 * * *", "2026-03-07 00:00",
        "2026-03-07 07:00", "2026-03-08 07:00", "2026-03-09 06:00",
    ),
    "Dublin, where winter time is the DST offset, moves from 01:00 to 02:00 at 01:00": (
        DUBLIN, "01:30", "30 1 * * *", "2026-03-28 00:00",
        "2026-03-28 01:30", "2026-03-29 01:00", "2026-03-30 00:30",
    ),
    "Lord Howe moves by half an hour, from 02:00 to 02:30, at 15:30 the day before": (
        LORD_HOWE, "02:15", "15 2 * * *", "2026-10-02 00:00",
        "2026-10-02 15:45", "2026-10-03 15:30", "2026-10-04 15:15",
    ),
    "Apia had no 30 December 2011: it moved from -10:00 to +14:00 at 10:00": (
        APIA, "12:00", "0 12 * * *", "2011-12-29 00:00",
        "2011-12-29 22:00", "2011-12-30 10:00", "2011-12-30 22:00",
    ),
    "Apia: the last minute of the gap": (
        APIA, "23:59", "59 23 * * *", "2011-12-30 00:00",
        "2011-12-30 09:59", "2011-12-30 10:00", "2011-12-31 09:59",
    ),
    "Santiago moves from 00:00 to 01:00 at 04:00: the day has no midnight": (
        SANTIAGO, "00:00", "0 0 * * *", "2024-09-07 00:00",
        "2024-09-07 04:00", "2024-09-08 04:00", "2024-09-09 03:00",
    ),
    "Casablanca moves forward by an hour after Ramadan, at 02:00": (
        CASABLANCA, "02:30", "30 2 * * *", "2024-04-13 00:00",
        "2024-04-13 02:30", "2024-04-14 02:00", "2024-04-15 01:30",
    ),
    "Troll moves by two hours, from 01:00 to 03:00, at 01:00": (
        TROLL, "02:45", "45 2 * * *", "2024-03-30 00:00",
        "2024-03-30 02:45", "2024-03-31 01:00", "2024-04-01 00:45",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["on", "cron"])
@pytest.mark.parametrize("case", GAPS)
def test_a_time_in_a_gap_is_due_after_the_gap_or_skipped(case: str, kind: str) -> None:
    zone, clock, line, start, before, after_gap, later = GAPS[case]
    schedule = on.day.at(clock) if kind == "on" else cron(line)
    assert due(in_zone(schedule, zone), start, 3) == [before, after_gap, later]
    assert due(in_zone(schedule, zone, AFTER), start, 3) == [before, after_gap, later]
    assert due(in_zone(schedule, zone, SKIP), start, 2) == [before, later]
    assert preview(in_zone(schedule, zone, AFTER), start, 3) == [
        Occurrence(utc(before)),
        Occurrence(utc(after_gap), f"after the gap: {clock}"),
        Occurrence(utc(later)),
    ]
    assert preview(in_zone(schedule, zone, SKIP), start, 3) == [
        Occurrence(utc(before)),
        Occurrence(utc(after_gap), f"skipped: gap {clock}", is_skipped=True),
        Occurrence(utc(later)),
    ]


def test_several_times_in_one_gap_are_due_once_after_it_or_skipped_individually() -> None:
    schedule = on.sunday.at("02:10", "02:30", "03:00")
    before, gap, week_later = "2026-03-08 00:00", utc("2026-03-08 07:00"), utc("2026-03-15 06:10")
    assert preview(in_zone(schedule, NY), before, 2) == [
        Occurrence(gap, "after the gap: 02:10"),
        Occurrence(week_later),
    ]
    assert preview(in_zone(schedule, NY, SKIP), before, 4) == [
        Occurrence(gap, "skipped: gap 02:10", is_skipped=True),
        Occurrence(gap, "skipped: gap 02:30", is_skipped=True),
        Occurrence(gap),  # 03:00 exists
        Occurrence(week_later),
    ]


def test_the_end_of_each_gap_is_computed_separately() -> None:
    second_sundays_of_march = in_zone(cron("30 2 * 3 0#2"), NY)
    gap_ends = ["2026-03-08 07:00", "2027-03-14 07:00", "2028-03-12 07:00"]
    assert due(second_sundays_of_march, "2026-01-01", 3) == gap_ends


def test_an_occurrence_moved_by_a_gap_is_due_only_once() -> None:
    schedule = in_zone(on.sunday.at("02:30"), NY)
    assert due(schedule, "2026-03-08 06:59:59.999999", 2) == ["2026-03-08 07:00", "2026-03-15 06:30"]
    assert due(schedule, "2026-03-08 07:00", 1) == ["2026-03-15 06:30"]


# ── folds ────────────────────────────────────────────────────────────────────────────────────────────────────────────

# as above; then the instant on the day before, the first and the second of two, and the instant on the day after
FOLDS = {
    "New York moves from 02:00 back to 01:00 at 06:00": (
        NY, "01:30", "30 1 * * *", "2026-10-31 00:00",
        "2026-10-31 05:30", "2026-11-01 05:30", "2026-11-01 06:30", "2026-11-02 06:30",
    ),
    "New York: 01:00 is the first time in the fold": (
        NY, "01:00", "0 1 * * *", "2026-10-31 00:00",
        "2026-10-31 05:00", "2026-11-01 05:00", "2026-11-01 06:00", "2026-11-02 06:00",
    ),
    "Dublin moves from 02:00 back to 01:00 at 01:00": (
        DUBLIN, "01:30", "30 1 * * *", "2026-10-24 00:00",
        "2026-10-24 00:30", "2026-10-25 00:30", "2026-10-25 01:30", "2026-10-26 01:30",
    ),
    "Lord Howe moves from 02:00 back to 01:30 at 15:00 the day before": (
        LORD_HOWE, "01:45", "45 1 * * *", "2026-04-03 00:00",
        "2026-04-03 14:45", "2026-04-04 14:45", "2026-04-04 15:15", "2026-04-05 15:15",
    ),
    "Santiago moves from midnight back to 23:00 at 03:00": (
        SANTIAGO, "23:30", "30 23 * * *", "2024-04-06 00:00",
        "2024-04-06 02:30", "2024-04-07 02:30", "2024-04-07 03:30", "2024-04-08 03:30",
    ),
    "Casablanca moves back by an hour for Ramadan, at 02:00": (
        CASABLANCA, "02:30", "30 2 * * *", "2024-03-09 00:00",
        "2024-03-09 01:30", "2024-03-10 01:30", "2024-03-10 02:30", "2024-03-11 02:30",
    ),
    "Troll moves from 03:00 back to 01:00 at 01:00": (
        TROLL, "02:45", "45 2 * * *", "2024-10-26 00:00",
        "2024-10-26 00:45", "2024-10-27 00:45", "2024-10-27 02:45", "2024-10-28 02:45",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["on", "cron"])
@pytest.mark.parametrize("case", FOLDS)
def test_a_time_in_a_fold_is_due_the_first_time_the_second_time_or_both(case: str, kind: str) -> None:
    zone, clock, line, start, before, first, second, later = FOLDS[case]
    schedule = on.day.at(clock) if kind == "on" else cron(line)
    assert due(in_zone(schedule, zone), start, 3) == [before, first, later]
    assert due(in_zone(schedule, zone, fold=FIRST), start, 3) == [before, first, later]
    assert due(in_zone(schedule, zone, fold=SECOND), start, 3) == [before, second, later]
    assert due(in_zone(schedule, zone, fold=BOTH), start, 4) == [before, first, second, later]
    # Starting between the two instants, only the second remains.
    assert due(in_zone(schedule, zone), first, 1) == [later]
    assert due(in_zone(schedule, zone, fold=SECOND), first, 1) == [second]
    assert due(in_zone(schedule, zone, fold=BOTH), first, 2) == [second, later]
    assert preview(in_zone(schedule, zone, fold=BOTH), start, 4) == [
        Occurrence(utc(before)),
        Occurrence(utc(first), f"first of two {clock}"),
        Occurrence(utc(second), f"second of two {clock}"),
        Occurrence(utc(later)),
    ]


def test_once_follows_the_same_rules_in_a_gap_and_a_fold() -> None:
    in_fold, in_gap = once("2026-11-01 01:30"), once("2026-03-08 02:30:30")
    assert due(in_zone(in_fold, NY), "2026-01-01", 9) == ["2026-11-01 05:30"]
    assert due(in_zone(in_fold, NY, fold=BOTH), "2026-01-01", 9) == ["2026-11-01 05:30", "2026-11-01 06:30"]
    assert due(in_zone(in_gap, NY), "2026-01-01", 9) == ["2026-03-08 07:00"]
    assert due(in_zone(in_gap, NY, SKIP), "2026-01-01", 9) == []
    with_fraction = in_zone(once("2026-03-08 02:30:00.5"), NY)
    assert with_fraction.next_after(utc("2026-01-01")) == utc("2026-03-08 07:00")
    assert [each.note for each in in_zone(in_gap, NY, SKIP).preview(utc("2026-01-01"))] == ["skipped: gap 02:30:30"]
    assert due(in_zone(once("2026-03-08 02:30-05:00"), NY, SKIP), "2026-01-01", 9) == ["2026-03-08 07:30"]


# ── crontab lines with a wildcard ────────────────────────────────────────────────────────────────────────────────────

WILDCARDS = {
    # line; zone; gap; fold; start; end; instants
    "in a gap, times between 02:00 and 03:00 are not due": (
        "*/20 2-3 * * *", NY, None, None, "2026-03-08 06:00", "2026-03-08 09:00", "07:00 07:20 07:40",
    ),
    "in a gap with AFTER, due once after it": (
        "*/20 2 * * *", NY, AFTER, None, "2026-03-08 06:00", "2026-03-08 09:00", "07:00",
    ),
    "an hourly line stays hourly in spring": (
        "30 * * * *", NY, None, None, "2026-03-08 05:00", "2026-03-08 08:00", "05:30 06:30 07:30",
    ),
    "an hourly line stays hourly in autumn": (
        "30 * * * *", NY, None, None, "2026-11-01 04:00", "2026-11-01 08:00", "04:30 05:30 06:30 07:30",
    ),
    "an hourly line with FIRST omits the second 01:30": (
        "30 * * * *", NY, None, FIRST, "2026-11-01 04:00", "2026-11-01 08:00", "04:30 05:30 07:30",
    ),
    "an hourly line with SECOND omits the first 01:30": (
        "30 * * * *", NY, None, SECOND, "2026-11-01 04:00", "2026-11-01 08:00", "04:30 06:30 07:30",
    ),
    "every time in a fold is due twice": (
        "*/30 1 * * *", DUBLIN, None, None, "2026-10-24 23:59", "2026-10-25 03:00", "00:00 00:30 01:00 01:30",
    ),
    "in the gap in Dublin, nothing is due": (
        "*/30 1 * * *", DUBLIN, None, None, "2026-03-29 00:00", "2026-03-29 20:00", "",
    ),
    "half an hour back in Lord Howe: 01:30 and 01:45 are due twice": (
        "*/15 1 * * *", LORD_HOWE, None, None, "2026-04-04 14:10", "2026-04-04 16:00", "14:15 14:30 14:45 15:00 15:15",
    ),
    "half an hour forward in Lord Howe: 02:00 and 02:15 are not due": (
        "0,15 * * * *", LORD_HOWE, None, None, "2026-10-03 14:40", "2026-10-03 16:30", "14:45 16:00 16:15",
    ),
    "Apia moves from the 29th directly to the 31st": (
        "0 */6 * * *", APIA, None, None, "2011-12-30 00:00", "2011-12-30 23:00", "04:00 10:00 16:00 22:00",
    ),
    "Santiago: midnight does not exist; with AFTER, due at 01:00": (
        "*/30 0 * * *", SANTIAGO, AFTER, None, "2024-09-08 00:00", "2024-09-08 12:00", "04:00",
    ),
    "Santiago: 23:00 is due twice": (
        "0 * * * *", SANTIAGO, None, None, "2024-04-07 00:59", "2024-04-07 05:00", "01:00 02:00 03:00 04:00 05:00",
    ),
    "Nairobi has no daylight saving": (
        "*/30 2 * * *", NAIROBI, AFTER, BOTH, "2026-03-07 23:00", "2026-03-08 20:00", "23:30",
    ),
    "a line with seconds behaves like a wildcard line": (
        "0 30 1 * * *", NY, None, None, "2026-11-01 04:00", "2026-11-01 08:00", "05:30 06:30",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WILDCARDS)
def test_a_wildcard_line_is_due_whenever_the_clock_shows_a_matching_time_unless_configured_otherwise(case: str) -> None:
    line, zone, gap, fold, start, end, expected = WILDCARDS[case]
    assert due_within(in_zone(cron(line), zone, gap, fold), start, end) == expected.split()


def test_a_wildcard_line_has_notes_only_if_the_fold_is_configured() -> None:
    start = "2026-11-01 04:00"
    notes = [each.note for each in preview(in_zone(cron("30 * * * *"), NY), start, 4)]
    assert notes == ["", "", "", ""]
    notes = [each.note for each in preview(in_zone(cron("30 * * * *"), NY, fold=BOTH), start, 4)]
    assert notes == ["", "first of two 01:30", "second of two 01:30", ""]


# ── no transitions ───────────────────────────────────────────────────────────────────────────────────────────────────

ORDINARY = {
    "weekly": (on.friday.at("22:00"), "2026-11-23 07:00", ["2026-11-27 19:00", "2026-12-04 19:00"]),
    "strictly after the start": (on.friday.at("22:00"), "2026-11-27 19:00", ["2026-12-04 19:00"]),
    "two days and two times": (
        on.monday.and_.friday.at("2:00", "22:00"), "2026-11-23 00:00",
        ["2026-11-23 19:00", "2026-11-26 23:00", "2026-11-27 19:00", "2026-11-29 23:00"],
    ),
    "the 13th or a Friday": (
        cron("0 12 13 * fri"), "2026-12-05", ["2026-12-11 09:00", "2026-12-13 09:00", "2026-12-18 09:00"],
    ),
    "with a wildcard, both days": (cron("0 12 */12 * fri"), "2026-11-01", ["2026-11-13 09:00", "2026-12-25 09:00"]),
    "leap days": (cron("0 12 29 2 *"), "2026-01-01", ["2028-02-29 09:00", "2032-02-29 09:00"]),
    "the last day of the month": (cron("0 12 L * *"), "2027-01-31 10:00", ["2027-02-28 09:00", "2027-03-31 09:00"]),
    "the last weekday": (cron("0 12 LW * *"), "2027-01-01", ["2027-01-29 09:00", "2027-02-26 09:00"]),
    "the fifth Friday": (cron("0 12 * * 5#5"), "2026-11-01", ["2027-01-29 09:00", "2027-04-30 09:00"]),
    "the last Sunday": (cron("0 12 * * 0L"), "2026-11-01", ["2026-11-29 09:00", "2026-12-27 09:00"]),
    "@weekly": (cron("@weekly"), "2026-11-23", ["2026-11-28 21:00", "2026-12-05 21:00"]),
    "@monthly": (cron("@monthly"), "2026-11-23", ["2026-11-30 21:00", "2026-12-31 21:00"]),
    "@yearly": (cron("@yearly"), "2026-11-23", ["2026-12-31 21:00", "2027-12-31 21:00"]),
    "@hourly": (cron("@hourly"), "2026-11-23 05:30", ["2026-11-23 06:00", "2026-11-23 07:00"]),
    "days of 24 hours from 1970 on": (every(2).days, "2026-11-23 05:30", ["2026-11-25 00:00", "2026-11-27 00:00"]),
    "once, in the zone": (once("2027-01-01 00:00"), "2026-11-23", ["2026-12-31 21:00"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ORDINARY)
def test_schedules_in_a_zone_without_daylight_saving(case: str) -> None:
    schedule, start, expected = ORDINARY[case]
    assert due(in_zone(schedule, NAIROBI), start, len(expected)) == expected
