"""What authors write: every word of it is a value that says itself back, or is refused where it is written."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pytest

from keiji import cron, every, on, once
from keiji.errors import InvalidSchedule
from keiji.schedule import DAYS, DEFAULT_CONTEXT, UNITS, DayTime, Interval, Schedule

# ── what it says back ────────────────────────────────────────────────────────────────────────────────────────────────

SAID = [
    # what is written; its words; the seed's form; the source that it gives back, where that differs
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
        "every fifth minute from 09:00 through 17:59 on Monday through Friday",
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


def written(source: str) -> Schedule:
    found = eval(source, {"every": every, "on": on, "cron": cron, "once": once, "datetime": datetime})
    assert isinstance(found, Schedule)
    return found


@pytest.mark.parametrize(("source", "words", "compact_form", "source_form"), SAID, ids=[row[0] for row in SAID])
def test_a_schedule_says_itself_in_words_in_the_seeds_form_and_as_source(
    source: str, words: str, compact_form: str, source_form: str | None
) -> None:
    schedule = written(source)
    assert (str(schedule), schedule.describe(), schedule.compact_form()) == (words, words, compact_form)
    assert schedule.source_form() == (source_form or source)
    assert schedule.context == DEFAULT_CONTEXT


def test_types_have_the_names_of_the_seed_and_new_kinds_have_their_own() -> None:
    made = [every(1).weeks, on.day.at("1:00"), cron("@daily"), once("2027-01-01")]
    assert [schedule.type for schedule in made] == ["HMS", "DayTime", "Cron", "Once"]


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_so_many_seconds(unit: str) -> None:
    seconds = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800}[unit]
    assert written(f"every(3).{unit}") == Interval(3, unit)
    assert Interval(3, unit).step == timedelta(seconds=3 * seconds)


@pytest.mark.parametrize("day", DAYS)
def test_every_day_of_the_week_can_be_written(day: str) -> None:
    assert written(f'on.{day}.at("22:00")') == DayTime((day,), (time(22),))


CLOCKS = {
    "10:00PM": time(22), "22:00": time(22), "12:00AM": time(0), "12:30 pm": time(12, 30), "9:05 a.m.": time(9, 5),
    "0:00": time(0), " 23:59 ": time(23, 59), "23:59:58": time(23, 59, 58), "11:59:58 P.M.": time(23, 59, 58),
}  # fmt: skip


@pytest.mark.parametrize("clock", CLOCKS)
def test_times_of_day_are_read_on_either_clock(clock: str) -> None:
    assert on.friday.at(clock) == DayTime(("friday",), (CLOCKS[clock],))


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("interval", [0, -1, 1.5, "10", None, True])
def test_an_interval_that_is_no_whole_number_is_refused_where_it_is_written(interval: object) -> None:
    with pytest.raises(InvalidSchedule, match=r"every\(.*\): a whole number of 1 or more is needed"):
        every(interval)  # type: ignore[arg-type]
    with pytest.raises(InvalidSchedule, match=r"every\(.*\): a whole number of days, 1 or more, is needed"):
        Interval(interval, "days")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "clock",
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
def test_what_is_no_time_of_day_is_refused_where_it_is_written(clock: object) -> None:
    with pytest.raises(InvalidSchedule, match=r'at\(.*\): a time of day is needed, such as "22:00" or "10:00PM"'):
        on.friday.at("09:00", clock)  # type: ignore[arg-type]


FIELDS = "five fields are needed (minute, hour, day of month, month, day of week), or six with seconds first; there "
TAIL = ", and *, lists, ranges, steps"
MOMENT = 'a moment is needed, such as "2027-01-01 00:00"'
REFUSED = {
    "on.monday.at()": 'at(): a time of day is needed, such as at("22:00")',
    "every(10**6).days": "every(1000000).days: more than a hundred years apart",
    'cron("")': f'cron(""): {FIELDS}are 0',
    'cron("*")': f'cron("*"): {FIELDS}is 1',
    'cron("* * * * * * *")': f'cron("* * * * * * *"): {FIELDS}are 7',
    'cron("61 * * * * *")': f'cron("61 * * * * *"): bad second "61"; it may have 0-59{TAIL}',
    'cron("*/0 * * * *")': f'cron("*/0 * * * *"): bad minute "*/0"; it may have 0-59{TAIL}',
    'cron("0 24 * * *")': f'cron("0 24 * * *"): bad hour "24"; it may have 0-23{TAIL}',
    'cron("0 0 0 * *")': f'cron("0 0 0 * *"): bad day-of-month "0"; it may have 1-31, L{TAIL}',
    'cron("0 0 30 2 *")': 'cron("0 0 30 2 *"): there is no day "30" in month "2"',
    'cron("0 0 1 13 *")': f'cron("0 0 1 13 *"): bad month "13"; it may have 1-12, jan-dec{TAIL}',
    'cron("0 0 * * x")': f'cron("0 0 * * x"): bad day-of-week "x"; it may have 0-7, sun-sat{TAIL}',
    "cron(5)": 'cron(5): text is needed, such as cron("*/5 9-17 * * mon-fri")',
    'cron("@reboot")': 'cron("@reboot"): a restart is no moment that can be told beforehand',
    'cron("@noon")': 'cron("@noon"): the names are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly',
    'once("soon")': f"once('soon'): {MOMENT}",
    'once("2027-02-29 00:00")': f"once('2027-02-29 00:00'): {MOMENT}",
    "once(None)": f"once(None): {MOMENT}",
}


@pytest.mark.parametrize("source", REFUSED)
def test_what_cannot_be_followed_is_refused_in_words(source: str) -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        written(source)
    assert str(refusal.value) == REFUSED[source]


def test_a_day_without_a_time_of_day_is_no_moment() -> None:
    with pytest.raises(InvalidSchedule, match="a moment is needed"):
        once(date(2027, 1, 1))  # type: ignore[arg-type]


def test_days_and_units_that_there_are_not_are_refused_by_the_values_themselves() -> None:
    with pytest.raises(InvalidSchedule, match="the units are seconds, minutes, hours, days, weeks"):
        Interval(1, "fortnights")
    with pytest.raises(InvalidSchedule, match="on monday, fryday: the days are monday, tuesday"):
        DayTime(("monday", "fryday"), (time(9),))
    with pytest.raises(InvalidSchedule, match="on no day: the days are"):
        DayTime((), (time(9),))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("every(3).second", "every(3).second: the units are seconds, minutes, hours, days, weeks"),
        ("on.fryday", "on.fryday: did you mean on.friday?"),
        ("on.weekday", "on.weekday: did you mean on.weekdays?"),
        ("on.monday.and_.tusday", "on.tusday: did you mean on.tuesday?"),
        ("on.xyz", f"on.xyz: the days are {', '.join(DAYS)}, day, weekdays, weekends"),
        ("on.friday.and_.monday.upon", 'on.friday.and_.monday.upon: on.friday.at("22:00"), for example'),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_those_that_are(source: str, message: str) -> None:
    with pytest.raises(AttributeError) as refusal:
        written(source)
    assert str(refusal.value).startswith(message)
