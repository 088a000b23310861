"""Descriptions of crontab lines: they name exactly what the line selects."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keiji.errors import InvalidSchedule
from keiji.schedule import DAYS, Cron

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
WEEK = tuple(day.capitalize() for day in DAYS)
ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}

DESCRIPTIONS = {
    "* * * * *": "every minute",
    "*/15 * * * *": "every 15 minutes",
    "0,15,30,45 * * * *": "every 15 minutes",
    "*/15 * * * * *": "every 15 seconds",
    "*/25 * * * *": "at minutes 0, 25 and 50 of every hour",
    "*/7 * * * *": "every 7 minutes from 0 through 56 of every hour",
    "7/15 * * * *": "every 15 minutes from 7 through 52 of every hour",
    "0,7 * * * *": "at minutes 0 and 7 of every hour",
    "0,7 * * * * *": "at seconds 0 and 7 of every minute",
    "5-10 * * * *": "every minute from 5 through 10 of every hour",
    "5 * * * *": "at minute 5 of every hour",
    "5 * * * * *": "every minute, at second 5",
    "0 * * * *": "at the start of every hour",
    "0 */2 * * *": "every 2 hours",
    "0 1-23/2 * * *": "every 2 hours from 01:00 through 23:00 every day",
    "0 9-17 * * *": "every hour from 09:00 through 17:00 every day",
    "*/5 9 * * *": "every 5 minutes from 09:00 through 09:59 every day",
    "0,7 9-17 * * *": "at minutes 0 and 7 of every hour from 9 through 17 every day",
    "5,35 */2 * * *": "at minutes 5 and 35 of every second hour from 0 through 22 every day",
    "*/20 1-23/3 * * *": "every 20 minutes of every third hour from 1 through 22 every day",
    "*/20 9,12,15 * * *": "every 20 minutes of hours 9, 12 and 15 every day",
    "*/20 9 * * *": "at 09:00, 09:20 and 09:40 every day",
    "*/10 30 2 * * *": "every 10 seconds of the minute 02:30 every day",
    "*/10 * 9 * * *": "every minute from 09:00 through 09:59, every 10 seconds of the minute every day",
    "15 30 2 * * *": "at 02:30:15 every day",
    "0 22 * * *": "at 22:00 every day",
    "0 22 * * 0-6": "at 22:00 every day",
    "0 9,18 * * *": "at 09:00 and 18:00 every day",
    "0 9 1-7 * 1": "at 09:00 on the first through 7th day of every month, or on Monday",
    "0 9 1-7 6 1": "at 09:00 on the first through 7th day of June, or on Monday in June",
    "0 9 */2 * 1": "at 09:00 on every second day from the first through the 31st of every month, if it is Monday",
    "0 22 1-31 * 1": "at 22:00 every day",
    "0 0 * * 0,7": "at 00:00 on Sunday",
    "0 0 * * 5-7": "at 00:00 on Friday through Sunday",
    "0 0 * * 5L": "at 00:00 on the last Friday of the month",
    "0 0 * * 1,5#2": "at 00:00 on Monday and the second Friday of the month",
    "0 0 */30 * mon#2": "at 00:00 on the first and 31st day of every month, if it is the second Monday of the month",
    "0 0 L,15 * *": "at 00:00 on the 15th day and the last day of every month",
    "0 0 LW * *": "at 00:00 on the last weekday of every month",
    "0 0 1 */3 *": "at 00:00 on the first day of January, April, July and October",
    "0 0 * 1-3,7 *": "at 00:00 every day in January through March and July",
    "59 23 31 12 *": "at 23:59 on December 31",
    "30 4 21,22,23 * *": "at 04:30 on the 21st through 23rd day of every month",
}


@pytest.mark.parametrize(("line", "description"), DESCRIPTIONS.items(), ids=DESCRIPTIONS)
def test_a_line_is_described_by_what_it_selects(line: str, description: str) -> None:
    assert Cron(line).describe() == description


# ── a description read back ──────────────────────────────────────────────────────────────────────────────────────────


def numbers(text: str, names: tuple[str, ...], first: int) -> set[int]:
    """Return what "Monday through Friday and Sunday" stands for."""
    found: set[int] = set()
    for part in re.split(r", | and | or ", text):
        begin, _, end = part.partition(" through ")
        start = names.index(begin) + first
        found |= set(range(start, (names.index(end) + first if end else start) + 1))
    return found


def day_numbers(text: str) -> set[int]:
    step = re.fullmatch(r"every (\w+) day from the (\w+) through the (\w+)", text)
    if step:
        return set(range(nth(step[2]), nth(step[3]) + 1, nth(step[1])))
    found: set[int] = set()
    for part in re.split(r", | and ", text.removeprefix("the ").removesuffix(" day")):
        begin, _, end = part.partition(" through ")
        found |= set(range(nth(begin), nth(end or begin) + 1))
    return found


def nth(text: str) -> int:
    return ORDINALS.get(text) or int(re.sub(r"\D", "", text))


def is_due_date(text: str, moment: datetime) -> bool:
    """Return whether the part of a description about dates selects a day."""
    month, weekday = rf"((?:{'|'.join(MONTHS)})[^0-9]*?)", rf"((?:{'|'.join(WEEK)}).*?)"
    if text in {"", "every day"}:
        return True
    if match := re.fullmatch(rf"every day in {month}", text):
        return moment.month in numbers(match[1], MONTHS, 1)
    if match := re.fullmatch(r"on (\w+) (\d+)", text):
        return (MONTHS[moment.month - 1], moment.day) == (match[1], int(match[2]))
    if match := re.fullmatch(rf"on {weekday}(?: in {month})?", text):
        in_month = match[2] is None or moment.month in numbers(match[2], MONTHS, 1)
        return in_month and moment.isoweekday() in numbers(match[1], WEEK, 1)
    match = re.fullmatch(
        rf"on (.*?) of (every month|{month})(?:, if it is {weekday}|, or on {weekday}(?: in {month})?)?", text
    )
    assert match, text
    in_month = match[3] is None or moment.month in numbers(match[3], MONTHS, 1)
    is_day = moment.day in day_numbers(match[1])
    if match[4]:
        return in_month and is_day and moment.isoweekday() in numbers(match[4], WEEK, 1)
    return in_month and (is_day or (match[5] is not None and moment.isoweekday() in numbers(match[5], WEEK, 1)))


def is_due_time(text: str, moment: datetime) -> bool:
    """Return whether the part of a description about times of day, without seconds, selects a minute."""
    clock = f"{moment:%H:%M}"
    if match := re.fullmatch(r"(.*?) from (\d\d:\d\d) through (\d\d:\d\d)", text):
        if not match[2] <= clock <= match[3]:
            return False
        if step := re.fullmatch(r"every (?:(\d+) hours|hour)", match[1]):
            begin = datetime.strptime(match[2], "%H:%M")
            return moment.minute == begin.minute and (moment.hour - begin.hour) % int(step[1] or 1) == 0
        return is_due_time(match[1], moment)
    if match := re.fullmatch(r"(.*?) of every (?:(\w+) )?hour from (\d+) through (\d+)", text):
        hours = range(int(match[3]), int(match[4]) + 1, nth(match[2] or "first"))
        return moment.hour in hours and is_due_time(match[1], moment)
    if match := re.fullmatch(r"(.*?) of hours? ([\d, and]+)", text):
        return str(moment.hour) in re.findall(r"\d+", match[2]) and is_due_time(match[1], moment)
    if text == "at the start of every hour":
        return moment.minute == 0
    text = text.removesuffix(" of every hour")
    if match := re.fullmatch(r"every (\d+) hours", text):
        return moment.minute == 0 and moment.hour % int(match[1]) == 0
    if match := re.fullmatch(r"every (?:(\d+) minutes|minute)(?: from (\d+) through (\d+))?", text):
        first, last = int(match[2] or 0), int(match[3] or 59)
        return first <= moment.minute <= last and (moment.minute - first) % int(match[1] or 1) == 0
    if match := re.fullmatch(r"at minutes? ([\d, and]+)", text):
        return str(moment.minute) in re.findall(r"\d+", match[1])
    assert text.startswith("at "), text
    return clock in re.split(r", | and ", text.removeprefix("at "))


def is_due(description: str, moment: datetime) -> bool:
    time, date = re.fullmatch(r"(.*?)((?: every day| on ).*|)", description).groups()  # type: ignore[union-attr]
    return is_due_time(time, moment) and is_due_date(date.strip(), moment)


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}")
    stepped = st.tuples(st.just("*") | span, st.integers(1, high)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    part = number.map(str) | span | stepped
    return st.just("*") | st.lists(part, min_size=1, max_size=3).map(",".join)


@settings(max_examples=60)
@given(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7), st.randoms(use_true_random=False))
def test_a_description_selects_the_same_minutes_as_its_line(  # noqa: PLR0917 - the fields of a line
    minute: str, hour: str, day: str, month: str, weekday: str, random: Random
) -> None:
    try:
        schedule = Cron(f"{minute} {hour} {day} {month} {weekday}")
    except InvalidSchedule:
        return  # there is no such day
    description, values = schedule.describe(), schedule.values()
    for _ in range(30):
        # A moment that the line selects in part: one that is drawn would rarely be due.
        moment = datetime(2026, random.choice(values.months), random.randint(1, 28))
        moment = moment.replace(hour=random.choice(values.hours), minute=random.choice(values.minutes))
        moment += timedelta(minutes=random.choice([0, 0, 1, 60, 1440, 50_000]))
        in_days, in_week = moment.day in values.days, (moment.isoweekday() % 7, 0) in values.weekdays
        expected = (
            moment.minute in values.minutes
            and moment.hour in values.hours
            and moment.month in values.months
            and (in_days and in_week if values.needs_both else in_days or in_week)
        )
        assert is_due(description, moment) == expected, (schedule.expression, description, moment)
