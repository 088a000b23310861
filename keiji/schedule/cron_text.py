"""Describes crontab lines in plain English. Only the values that a line selects count, not how it is written.

Each phrase names exactly the selected values, so that a description is as accurate as the line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

LAST_DAY, LAST_WEEKDAY = -1, -2  # of the month
LAST = -1  # such a day of the week in the month
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_MAX_TIMES = 6  # times of day that are listed individually
_MIN_STEPS = 4  # values from which on a series is described by its step
_MIN_RANGE = 3


@dataclass(frozen=True, slots=True)
class CronValues:
    """The values that a crontab line selects.

    Args:
        days: days of the month, `LAST_DAY` and `LAST_WEEKDAY`.
        weekdays: (day of the week, 0 for Sunday; which one in the month, 0 for all, or `LAST`).
        needs_both: whether a day has to match ``days`` and ``weekdays``; otherwise, one of them is enough.
    """

    seconds: Sequence[int]
    minutes: Sequence[int]
    hours: Sequence[int]
    days: Collection[int]
    months: Sequence[int]
    weekdays: Collection[tuple[int, int]]
    needs_both: bool


def describe(values: CronValues) -> str:
    """Return a description: "every 5 minutes from 09:00 through 17:59 on Monday through Friday"."""
    time, is_frequent = _describe_time(values)
    date = _describe_date(values)
    return " ".join(filter(None, (time, date or ("" if is_frequent else "every day"))))


# ── times ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _describe_time(values: CronValues) -> tuple[str, bool]:
    """Return when on a day it is due, and whether that is so often that "every day" need not be added."""
    seconds, minutes, hours = values.seconds, values.minutes, values.hours
    if len(seconds) == 1 and len(minutes) * len(hours) <= _MAX_TIMES:
        times = [_clock(hour, minute, seconds[0]) for hour in hours for minute in minutes]
        return f"at {join_words(times)}", False
    if len(seconds) == 1:
        text, is_frequent = _describe_minutes(minutes, hours)
        return (f"{text}, at second {seconds[0]}" if seconds[0] else text), is_frequent
    second_phrase = _series(seconds, 60, "second", "minute")
    if len(minutes) == 60 and len(hours) == 24:
        return second_phrase, True
    if len(minutes) * len(hours) <= _MAX_TIMES:
        times = [_clock(hour, minute) for hour in hours for minute in minutes]
        return f"{second_phrase.removesuffix(' of every minute')} of the minute {join_words(times)}", False
    text, is_frequent = _describe_minutes(minutes, hours)
    return f"{text}, {second_phrase.removesuffix(' of every minute')} of the minute", is_frequent


def _describe_minutes(minutes: Sequence[int], hours: Sequence[int]) -> tuple[str, bool]:
    if len(minutes) == 1:
        return _describe_hourly(minutes[0], hours)
    phrase = _series(minutes, 60, "minute", "hour")
    if len(hours) == 24:
        return phrase, True
    span = _step(hours)
    if (len(minutes) == 60 or _is_even(minutes, 60)) and (len(hours) == 1 or span == 1):
        return f"{phrase} from {_clock(hours[0], 0)} through {_clock(hours[-1], 59)}", False
    phrase = phrase.removesuffix(" of every hour")
    if span == 1 and len(hours) >= _MIN_RANGE:
        return f"{phrase} of every hour from {hours[0]} through {hours[-1]}", False
    if span is not None and len(hours) >= _MIN_STEPS:
        return f"{phrase} of every {ordinal(span)} hour from {hours[0]} through {hours[-1]}", False
    noun = "hour" if len(hours) == 1 else "hours"
    return f"{phrase} of {noun} {join_words([str(hour) for hour in hours])}", False


def _describe_hourly(minute: int, hours: Sequence[int]) -> tuple[str, bool]:
    if len(hours) == 24:
        return "at the start of every hour" if minute == 0 else f"at minute {minute} of every hour", True
    step = _step(hours)
    if step is None:
        return f"at {join_words([_clock(hour, minute) for hour in hours])}", False
    every = "every hour" if step == 1 else f"every {step} hours"
    if minute == 0 and hours[0] == 0 and _is_even(hours, 24):
        return every, True
    return f"{every} from {_clock(hours[0], minute)} through {_clock(hours[-1], minute)}", False


def _series(numbers: Sequence[int], size: int, unit: str, whole: str) -> str:
    """Describe some of the ``size`` seconds of a minute, or minutes of an hour."""
    step = _step(numbers)
    if len(numbers) == size:
        return f"every {unit}"
    if step is not None and _is_even(numbers, size):
        return f"every {step} {unit}s"
    if step is not None and len(numbers) >= _MIN_STEPS:
        every = f"every {unit}" if step == 1 else f"every {step} {unit}s"
        return f"{every} from {numbers[0]} through {numbers[-1]} of every {whole}"
    noun = unit if len(numbers) == 1 else f"{unit}s"
    return f"at {noun} {join_words([str(number) for number in numbers])} of every {whole}"


def _step(numbers: Sequence[int]) -> int | None:
    """Return the step of an arithmetic series; None if the numbers are none, or only one."""
    steps = {later - earlier for earlier, later in pairwise(numbers)}
    return steps.pop() if len(steps) == 1 else None


def _is_even(numbers: Sequence[int], size: int) -> bool:
    """Return whether a series starts at 0 and continues at even intervals into the next minute, hour or day."""
    step = _step(numbers)
    return step is not None and numbers[0] == 0 and numbers[-1] + step == size


def _clock(hour: int, minute: int, second: int = 0) -> str:
    return f"{hour:02}:{minute:02}:{second:02}" if second else f"{hour:02}:{minute:02}"


# ── dates ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _describe_date(values: CronValues) -> str:
    """Return on which days it is due; "" for every day."""
    months = "" if len(values.months) == 12 else _ranges(values.months, _month)
    all_days = set(range(1, 32)) <= set(values.days)
    all_weekdays = {(day, 0) for day in range(7)} <= set(values.weekdays)
    if not values.needs_both and (all_days or all_weekdays):
        all_days = all_weekdays = True  # each day matches one of them
    if all_days and all_weekdays:
        return f"every day in {months}" if months else ""
    in_months = f"in {months}" if months else ""
    if all_weekdays:
        single = next(iter(values.days)) if len(values.days) == 1 else 0
        if single > 0 and len(values.months) == 1:
            return f"on {_month(values.months[0])} {single}"
        return f"on {_days(values.days)} of {_which_months(months)}"
    if all_days:
        return " ".join(filter(None, (f"on {_weekdays(values.weekdays)}", in_months)))
    days = f"on {_days(values.days)} of {_which_months(months)}"
    if values.needs_both:
        return f"{days}, if it is {_weekdays(values.weekdays, 'or')}"
    return " ".join(filter(None, (f"{days}, or on {_weekdays(values.weekdays)}", in_months)))


def _which_months(months: str) -> str:
    return months or "every month"


def _days(days: Collection[int]) -> str:
    numbers = sorted(day for day in days if day > 0)
    special = {LAST_DAY: "last day", LAST_WEEKDAY: "last weekday"}
    step = _step(numbers)
    if step is not None and step > 1 and len(numbers) >= _MIN_STEPS:
        parts = [f"every {ordinal(step)} day from the {ordinal(numbers[0])} through the {ordinal(numbers[-1])}"]
    else:
        parts = [f"the {_ranges(numbers, ordinal)} day"] if numbers else []
    parts += [f"the {name}" for day, name in special.items() if day in days]
    return join_words(parts)


def _weekdays(weekdays: Iterable[tuple[int, int]], conjunction: str = "and") -> str:
    every = sorted((day - 1) % 7 for day, which in weekdays if not which)  # weeks begin on Monday
    parts = [_ranges(every, lambda day: _DAYS[day], conjunction)] if every else []
    names = [
        f"the {'last' if which == LAST else ordinal(which)} {_DAYS[(day - 1) % 7]} of the month"
        for day, which in sorted(weekdays, key=lambda item: (item[1] if item[1] != LAST else 9, (item[0] - 1) % 7))
        if which and (day, 0) not in weekdays
    ]
    return join_words([*parts, *names], conjunction)


def _ranges(numbers: Sequence[int], name: Callable[[int], str], conjunction: str = "and") -> str:
    """Return numbers by name: "Monday through Friday and Sunday"."""
    parts: list[str] = []
    start = 0
    for position, number in enumerate(numbers):
        if position + 1 < len(numbers) and numbers[position + 1] == number + 1:
            continue
        if position - start + 1 >= _MIN_RANGE:
            parts.append(f"{name(numbers[start])} through {name(number)}")
        else:
            parts += [name(each) for each in numbers[start : position + 1]]
        start = position + 1
    return join_words(parts, conjunction)


def _month(number: int) -> str:
    return _MONTHS[number - 1]


def ordinal(number: int) -> str:
    """Return "first" to "fifth", "6th", "21st"."""
    if number <= len(_ORDINALS):
        return _ORDINALS[number - 1]
    suffix = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def join_words(words: Sequence[str], conjunction: str = "and") -> str:
    """Return "a", "a and b", "a, b and c"."""
    return f" {conjunction} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
