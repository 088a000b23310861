"""The functions for task authors: the schedules they create, and the errors for invalid input."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pytest

from keiji import cron, every, on, once
from keiji.errors import InvalidSchedule
from keiji.schedule import DAYS, DEFAULT_CONTEXT, UNITS, DayTime, Interval, Schedule

# ── valid input ──────────────────────────────────────────────────────────────────────────────────────────────────────

FORMS = [
    # source; description; compact form; source form, or None if it equals the source
    ("every(10).seconds", "every 10 seconds", "units:seconds,interval:10", None),
    ("every(1).seconds", "every second", "units:seconds,interval:1", None),
    ("every(1).minutes", "every minute", "units:minutes,interval:1", None),
    ("every(24).hours", "every 24 hours", "units:hours,interval:24", None),
    ("every(2).days", "every 2 days", "units:days,interval:2", None),
    ("every(1).weeks", "every week", "units:weeks,interval:1", None),
    ('on.friday.at("10:00PM")', "Fridays at 22:00", "day:Friday,time:10:00PM", 'on.friday.at("22:00")'),
    ('on.monday.at("00:05")', "Mondays at 00:05", "day:Monday,time:12:05AM", None),
    ('on.day.at("9:00")', "every day at 09:00", "day:Day,time:09:00AM", 'on.day.at("09:00")'),
    (
        'on.weekdays.at("17:30:15", "9:00", "09:00")',
        "weekdays at 09:00 and 17:30:15",
        "day:Weekdays,time:09:00AM+05:30:15PM",
        'on.weekdays.at("09:00", "17:30:15")',
    ),
    ('on.weekends.at("12:00AM")', "weekends at 00:00", "day:Weekends,time:12:00AM", 'on.weekends.at("00:00")'),
    (
        'on.thursday.and_.monday.and_.thursday.at("09:00")',
        "Mondays and Thursdays at 09:00",
        "day:Monday+Thursday,time:09:00AM",
        'on.monday.and_.thursday.at("09:00")',
    ),
    (
        'on.wednesday.and_.weekends.at("01:00", "02:00", "03:00")',
        "Wednesdays, Saturdays and Sundays at 01:00, 02:00 and 03:00",
        "day:Wednesday+Saturday+Sunday,time:01:00AM+02:00AM+03:00AM",
        'on.wednesday.and_.saturday.and_.sunday.at("01:00", "02:00", "03:00")',
    ),
    ('on.sunday.and_.saturday.at("1:00")', "weekends at 01:00", "day:Weekends,time:01:00AM", 'on.weekends.at("01:00")'),
    (
        'cron("  */5  9-17 * * MON-fri ")',
        "every 5 minutes from 09:00 through 17:59 on Monday through Friday",
        "cron:*/5 9-17 * * MON-fri",
        'cron("*/5 9-17 * * MON-fri")',
    ),
    ('cron("15 30 2 * * *")', "at 02:30:15 every day", "cron:15 30 2 * * *", None),
    ('cron("0 12 L * *")', "at 12:00 on the last day of every month", "cron:0 12 L * *", None),
    ('cron("30 2 * * 1#2")', "at 02:30 on the second Monday of the month", "cron:30 2 * * 1#2", None),
    ('cron("@yearly")', "at 00:00 on January 1", "cron:@yearly", None),
    ('cron("@annually")', "at 00:00 on January 1", "cron:@annually", None),
    ('cron("@monthly")', "at 00:00 on the first day of every month", "cron:@monthly", None),
    ('cron("@weekly")', "at 00:00 on Sunday", "cron:@weekly", None),
    ('cron("@daily")', "at 00:00 every day", "cron:@daily", None),
    ('cron("@midnight")', "at 00:00 every day", "cron:@midnight", None),
    ('cron("@Hourly")', "at the start of every hour", "cron:@Hourly", None),
    ('once("2027-01-01 00:00")', "once at 2027-01-01 00:00", "once:2027-01-01 00:00", None),
    ('once(" 2027-01-01T06:30:05 ")', "once at 2027-01-01 06:30:05", "once:2027-01-01 06:30:05",
     'once("2027-01-01 06:30:05")'),
    ('once("2027-01-01")', "once at 2027-01-01 00:00", "once:2027-01-01 00:00", 'once("2027-01-01 00:00")'),
    ('once("2027-01-01 00:00+03:00")', "once at 2027-01-01 00:00+03:00", "once:2027-01-01 00:00+03:00", None),
    ('once("2027-01-01 00:00Z")', "once at 2027-01-01 00:00+00:00", "once:2027-01-01 00:00+00:00",
     'once("2027-01-01 00:00+00:00")'),
    ("once(datetime(2027, 1, 1, 9))", "once at 2027-01-01 09:00", "once:2027-01-01 09:00", 'once("2027-01-01 09:00")'),
]  # fmt: skip


def evaluate(source: str) -> Schedule:
    schedule = eval(source, {"every": every, "on": on, "cron": cron, "once": once, "datetime": datetime})
    assert isinstance(schedule, Schedule)
    return schedule


@pytest.mark.parametrize(("source", "description", "compact_form", "source_form"), FORMS, ids=[row[0] for row in FORMS])
def test_a_schedule_has_a_description_a_compact_form_and_a_source_form(
    source: str, description: str, compact_form: str, source_form: str | None
) -> None:
    schedule = evaluate(source)
    assert (str(schedule), schedule.describe(), schedule.compact_form()) == (description, description, compact_form)
    assert schedule.source_form() == (source_form or source)
    assert schedule.context == DEFAULT_CONTEXT


def test_each_kind_of_schedule_has_a_type_name() -> None:
    schedules = [every(1).weeks, on.day.at("1:00"), cron("@daily"), once("2027-01-01")]
    assert [schedule.type for schedule in schedules] == ["HMS", "DayTime", "Cron", "Once"]


@pytest.mark.parametrize("unit", UNITS)
def test_each_unit_has_its_length_in_seconds(unit: str) -> None:
    seconds = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800}[unit]
    assert evaluate(f"every(3).{unit}") == Interval(3, unit)
    assert Interval(3, unit).step == timedelta(seconds=3 * seconds)


@pytest.mark.parametrize("day", DAYS)
def test_each_day_of_the_week_is_an_attribute(day: str) -> None:
    assert evaluate(f'on.{day}.at("22:00")') == DayTime((day,), (time(22),))


TIMES = {
    "10:00PM": time(22), "22:00": time(22), "12:00AM": time(0), "12:30 pm": time(12, 30), "9:05 a.m.": time(9, 5),
    "0:00": time(0), " 23:59 ": time(23, 59), "23:59:58": time(23, 59, 58), "11:59:58 P.M.": time(23, 59, 58),
}  # fmt: skip


@pytest.mark.parametrize("text", TIMES)
def test_times_of_day_are_parsed_in_12_and_24_hour_format(text: str) -> None:
    assert on.friday.at(text) == DayTime(("friday",), (TIMES[text],))


# ── invalid input ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("interval", [0, -1, 1.5, "10", None, True])
def test_an_interval_that_is_not_a_positive_whole_number_is_rejected(interval: object) -> None:
    with pytest.raises(InvalidSchedule, match=r"every\(.*\): expected a whole number of at least 1"):
        every(interval)  # type: ignore[arg-type]
    with pytest.raises(InvalidSchedule, match=r"every\(.*\): expected a whole number of at least 1"):
        Interval(interval, "days")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "24:00",
        "25:00",
        "12:60",
        "12:00:60",
        "13:00PM",
        "0:30AM",
        "noon",
        "10",
        "10:5",
        "22:00.5",
        "١٠:٠٠",
        None,
        10,
    ],
)
def test_an_invalid_time_of_day_is_rejected(text: object) -> None:
    with pytest.raises(InvalidSchedule, match=r'at\(.*\): expected a time of day, such as "22:00" or "10:00PM"'):
        on.friday.at("09:00", text)  # type: ignore[arg-type]


FIELDS = "expected five fields (minute, hour, day of month, month, day of week), or six with seconds first; got "
SYNTAX = ", *, lists, ranges and steps"
MOMENT = 'expected a date and time, such as "2027-01-01 00:00"'
REJECTED = {
    "on.monday.at()": 'at(): expected a time of day, such as at("22:00")',
    "every(10**6).days": "every(1000000).days: longer than a hundred years",
    'cron("")': f'cron(""): {FIELDS}0',
    'cron("*")': f'cron("*"): {FIELDS}1',
    'cron("* * * * * * *")': f'cron("* * * * * * *"): {FIELDS}7',
    'cron("61 * * * * *")': f'cron("61 * * * * *"): invalid second "61"; allowed: 0-59{SYNTAX}',
    'cron("*/0 * * * *")': f'cron("*/0 * * * *"): invalid minute "*/0"; allowed: 0-59{SYNTAX}',
    'cron("0 24 * * *")': f'cron("0 24 * * *"): invalid hour "24"; allowed: 0-23{SYNTAX}',
    'cron("0 0 0 * *")': f'cron("0 0 0 * *"): invalid day-of-month "0"; allowed: 1-31, L{SYNTAX}',
    'cron("0 0 30 2 *")': 'cron("0 0 30 2 *"): there is no day "30" in month "2"',
    'cron("0 0 1 13 *")': f'cron("0 0 1 13 *"): invalid month "13"; allowed: 1-12, jan-dec{SYNTAX}',
    'cron("0 0 * * x")': f'cron("0 0 * * x"): invalid day-of-week "x"; allowed: 0-7, sun-sat{SYNTAX}',
    "cron(5)": 'cron(5): expected text, such as cron("*/5 9-17 * * mon-fri")',
    'cron("@reboot")': 'cron("@reboot"): use at_start: a reboot is an event, not a schedule',
    'cron("@noon")': (
        'cron("@noon"): unknown nickname; expected one of '
        "@yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly"
    ),
    'once("soon")': f"once('soon'): {MOMENT}",
    'once("2027-02-29 00:00")': f"once('2027-02-29 00:00'): {MOMENT}",
    "once(None)": f"once(None): {MOMENT}",
}


@pytest.mark.parametrize("source", REJECTED)
def test_an_invalid_schedule_is_rejected_with_an_explanation(source: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        evaluate(source)
    assert str(caught.value) == REJECTED[source]


def test_once_rejects_a_date_without_a_time() -> None:
    with pytest.raises(InvalidSchedule, match="expected a date and time"):
        once(date(2027, 1, 1))  # type: ignore[arg-type]


def test_the_schedule_classes_reject_unknown_days_and_units() -> None:
    with pytest.raises(InvalidSchedule, match="unknown unit; expected one of seconds, minutes, hours, days, weeks"):
        Interval(1, "fortnights")
    with pytest.raises(InvalidSchedule, match="on monday, fryday: expected one or more of monday, tuesday"):
        DayTime(("monday", "fryday"), (time(9),))
    with pytest.raises(InvalidSchedule, match="on no day: expected one or more of"):
        DayTime((), (time(9),))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("every(3).second", "every(3).second: unknown unit; expected one of seconds, minutes, hours, days, weeks"),
        ("on.fryday", "on.fryday: did you mean on.friday?"),
        ("on.weekday", "on.weekday: did you mean on.weekdays?"),
        ("on.monday.and_.tusday", "on.tusday: did you mean on.tuesday?"),
        ("on.xyz", f"on.xyz: unknown day; expected one of {', '.join(DAYS)}, day, weekdays, weekends"),
        ("on.friday.and_.monday.upon", 'on.friday.and_.monday.upon: expected a time, such as on.friday.at("22:00")'),
    ],
)
def test_an_unknown_attribute_is_rejected_with_a_suggestion(source: str, message: str) -> None:
    with pytest.raises(AttributeError) as caught:
        evaluate(source)
    assert str(caught.value).startswith(message)
