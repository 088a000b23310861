"""Parses schedules in plain English ("every 5 minutes") and bare crontab lines ("*/5 * * * *"). Nothing is executed.

Only unambiguous input is accepted: what `Schedule.describe` returns for the schedules of `dsl`, the abbreviations of
it that tables show, other common ways to say the same, and crontab lines. Other English text is rejected with a hint
about what to write.
"""

from __future__ import annotations

import re

from keiji.errors import InvalidSchedule
from keiji.schedule.base import Schedule
from keiji.schedule.daytime import DAYS, GROUPS
from keiji.schedule.dsl import OnDays, at_start, cron, every, manual, on_change, once
from keiji.schedule.interval import UNITS

_ABBREVIATIONS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_UNITS = {**{unit: unit for unit in UNITS}, **{unit.removesuffix("s"): unit for unit in UNITS}, **_ABBREVIATIONS}
_DAY_GROUPS = {
    "every day": GROUPS["day"],
    "daily": GROUPS["day"],
    "weekdays": GROUPS["weekdays"],
    "every weekday": GROUPS["weekdays"],
    "weekends": GROUPS["weekends"],
}
_PHRASES = {
    "minutely": "every minute",
    "hourly": "@hourly",
    "daily": "every day at 00:00",
    "weekly": "Sundays at 00:00",
    "monthly": "@monthly",
    "yearly": "@yearly",
    "annually": "@annually",
}
_EVENTS = {
    "manual": manual,
    "manually": manual,
    "at start": at_start,
    "at_start": at_start,
    "at boot": at_start,
    "@reboot": at_start,
}
_DAY_NAMES = {**{f"{day}s": day for day in DAYS}, **{day[:3]: day for day in DAYS}, **{day: day for day in DAYS}}
_INTERVAL = re.compile(rf"every (?:(\d{{1,9}}) ?)?({'|'.join(_UNITS)})", re.ASCII)
_TIME = r"(?:\d{1,2}:\d\d(?::\d\d)?(?: ?[ap]m)?|\d{1,2} ?[ap]m|noon|midnight)"
_TIMES = rf"{_TIME}(?:(?:, | and ){_TIME})*"
_DAYS_AND_TIMES = re.compile(rf"(?:on )?(.*?)(?: at)? ({_TIMES})", re.ASCII)
_AT_MINUTES = re.compile(
    r"(?:hourly|every(?: (\d{1,3}))? hours?) (?:at )?(:\d\d(?:(?:, | and ):\d\d)*)", re.ASCII
)  # "every 2 hours at :05 and :35"
_NTH = {"first": "1", "second": "2", "third": "3", "fourth": "4", "fifth": "5", "last": "L"}
_ORDINAL = r"\d{1,2}(?:st|nd|rd|th)"
_OF_MONTH = re.compile(
    r"(?:on )?(?:the )?(?:(?:monthly|every month) on (?:the )?)?"
    rf"(?:({'|'.join(_NTH)}) ({'|'.join(DAYS)}|day|weekday)|({_ORDINAL}(?:(?:, | and )(?:the )?{_ORDINAL})*)(?: day)?)"
    rf"( of (?:the|every|each) month)?(?:(?: at)? ({_TIME}))?",
    re.ASCII,
)
_ONCE = re.compile(r"once at (\d{4}-\d\d-\d\d \d\d:\d\d\S*)", re.ASCII)
_ON_CHANGE = re.compile(r"on change of (.+)", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SEPARATOR = re.compile(r", | and ")
_CRON_FIELD = re.compile(r"[\w*/,#?-]+", re.ASCII)
_FIRST_CRON_FIELD = re.compile(r"[\d*][\d*/,-]*", re.ASCII)
_MULTIPLE_WORDS = re.compile(r"[A-Za-z\d:][\w:,.]*(?: [\w:,.]+)+", re.ASCII)
_WORD = re.compile(r"[a-z]{3,}")
_MIN_CRON_FIELDS = 4  # one less than valid, to report a missing field as such
_VOCABULARY = (
    "every", "daily", "hourly", "weekly", "monthly", "yearly", "weekdays", "weekends", "weekday", "month", "noon",
    "midnight", "manual", "start", "change", "once", "day", *UNITS, *(unit.removesuffix("s") for unit in UNITS), *DAYS,
    *(f"{day}s" for day in DAYS), *_NTH,
)  # fmt: skip


def parse_natural(text: str) -> Schedule | None:
    """Return the schedule that ``text`` describes in English or as a crontab line; None if it is neither.

    Raises:
        InvalidSchedule: ``text`` is English or a crontab line, but not a valid schedule; the hint says what to write.
    """
    schedule = _parse_on_change(text.strip())
    if schedule is not None:
        return schedule
    text = " ".join(text.split())
    schedule = _parse(text)
    if schedule is None and _names_days(text.lower()):
        raise InvalidSchedule(f"{text!r}: missing time", hint=f"write {text} at 22:00")
    if schedule is None and _MULTIPLE_WORDS.fullmatch(text):
        suggestion = correct(text)
        hint = f"did you mean {suggestion!r}?" if suggestion else _hint(text.lower())
        raise InvalidSchedule(f"unknown schedule {text!r}", hint=hint)
    return schedule


def _parse(text: str) -> Schedule | None:
    lowercase = text.lower()
    if lowercase in _EVENTS:
        return _EVENTS[lowercase]
    if _is_crontab(text):
        return cron(text)
    return (
        _parse_interval(lowercase)
        or _parse_hours(lowercase)
        or _parse_of_month(lowercase)
        or _parse_day_time(lowercase)
        or _parse_once(lowercase)
        or (_parse(_PHRASES[lowercase]) if lowercase in _PHRASES else None)
    )


def correct(text: str) -> str:
    """Return ``text`` with misspelt words corrected, if that makes it a schedule; otherwise ""."""
    import difflib  # only needed for an invalid schedule

    def correct_word(match: re.Match[str]) -> str:
        return next(iter(difflib.get_close_matches(match[0], _VOCABULARY, n=1, cutoff=0.7)), match[0])

    corrected = _WORD.sub(correct_word, text.lower())
    try:
        return corrected if corrected != text.lower() and _parse(corrected) is not None else ""
    except InvalidSchedule:
        return ""


def _is_crontab(text: str) -> bool:
    fields = text.split()
    if len(fields) == 1:
        return fields[0].startswith("@")
    has_cron_fields = len(fields) >= _MIN_CRON_FIELDS and all(map(_CRON_FIELD.fullmatch, fields))
    return has_cron_fields and _FIRST_CRON_FIELD.fullmatch(fields[0]) is not None


def _parse_on_change(text: str) -> Schedule | None:
    match = _ON_CHANGE.fullmatch(text)
    if match is None:
        return None
    literal = _QUOTED.fullmatch(match[1])
    return on_change(re.sub(r"\\(.)", r"\1", literal[1]) if literal else match[1])


def _parse_interval(text: str) -> Schedule | None:
    match = _INTERVAL.fullmatch(text)
    if match is None:
        return None
    if match[1] is None and f"{match[2]}s" not in UNITS:
        return None  # "every minutes" lacks a number
    schedule: Schedule = getattr(every(int(match[1] or 1)), _UNITS[match[2]])
    return schedule


def _parse_hours(text: str) -> Schedule | None:
    """Parse "every hour at :05", "every 2 hours at :05 and :35"."""
    match = _AT_MINUTES.fullmatch(text)
    if match is None:
        return None
    step = int(match[1] or 1)
    if step < 1 or 24 % step:
        raise InvalidSchedule(
            f"unknown schedule {text!r}: a day does not have a multiple of {step} hours",
            hint=f"write every {step} hours, which counts from the start, or a crontab line: 5 0,7,14,21 * * *",
        )
    minutes = ",".join(str(int(minute[1:])) for minute in _SEPARATOR.split(match[2]))
    return cron(f"{minutes} {'*' if step == 1 else f'*/{step}'} * * *")


def _parse_of_month(text: str) -> Schedule | None:
    """Parse "first Monday at 9:00", "last day of the month", "1st and 15th of the month at 6:00"."""
    match = _OF_MONTH.fullmatch(text)
    if match is None:
        return None
    which, day, numbers, _, at = match.groups()
    if which is None:
        days, weekdays = ",".join(re.findall(r"\d+", numbers)), "*"
    elif day == "day" and which in ("first", "last"):
        days, weekdays = _NTH[which], "*"
    elif day == "weekday" and which == "last":
        days, weekdays = "LW", "*"
    elif day in DAYS:
        number = (DAYS.index(day) + 1) % 7
        days, weekdays = "*", f"{number}L" if which == "last" else f"{number}#{_NTH[which]}"
    else:
        raise InvalidSchedule(
            f"unknown schedule {text!r}", hint="write 15th of the month at 9:00, or last day of the month at 9:00"
        )
    hour, minute, second = _clock(at or "midnight").split(":")
    seconds = f"{int(second)} " if int(second) else ""
    return cron(f"{seconds}{int(minute)} {int(hour)} {days} * {weekdays}")


def _clock(text: str) -> str:
    """Return a time of day as "22:00:00". Raises InvalidSchedule."""
    return str(OnDays(GROUPS["day"]).at(_spelled_out(text)).times[0].isoformat("seconds"))


def _spelled_out(text: str) -> str:
    """Return a time of day in a form that `OnDays.at` reads: "9:00am" for "9am"."""
    if text in ("noon", "midnight"):
        return "12:00" if text == "noon" else "0:00"
    return text if ":" in text else re.sub(r"(\d+)", r"\1:00", text)


def _parse_day_time(text: str) -> Schedule | None:
    match = _DAYS_AND_TIMES.fullmatch(text)
    if match is None:
        return None
    days = _DAY_GROUPS.get(match[1])
    if days is None:
        days = _day_names(match[1].removeprefix("every ").removeprefix("weekly on "))
    if days is None:
        return None
    return OnDays(days).at(*map(_spelled_out, _SEPARATOR.split(match[2])))


def _day_names(text: str) -> tuple[str, ...] | None:
    """Return the days in "Mondays, Tuesdays and Sundays" or "Monday to Friday"; None if ``text`` is anything else."""
    first, separator, last = re.sub(r" (to|through) |(?<=[a-z])-(?=[a-z])", "–", text).partition("–")
    names = [first, last] if separator else _SEPARATOR.split(text)
    if not all(name in _DAY_NAMES for name in names):
        return None
    days = [_DAY_NAMES[name] for name in names]
    if not separator:
        return tuple(days)
    start, end = map(DAYS.index, days)
    return tuple(DAYS[number % 7] for number in range(start, end + 1 if end >= start else end + 8))


def _names_days(text: str) -> bool:
    """Return whether ``text`` is the part of a schedule that names days of the week."""
    days = text.removeprefix("on ")
    return days in _DAY_GROUPS or _day_names(days.removeprefix("every ")) is not None


def _parse_once(text: str) -> Schedule | None:
    match = _ONCE.fullmatch(text)
    return once(match[1]) if match else None


def _hint(text: str) -> str:
    """Return what to write instead, depending on the first word of ``text``."""
    first_word = text.split(maxsplit=1)[0].rstrip("s,")
    if first_word == "every" and not _DAYS_AND_TIMES.fullmatch(text):
        return 'write every 10 minutes or every(10).minutes; for a time of day, on.day.at("22:00")'
    if first_word == "once":
        return 'write once("2027-01-01 00:00")'
    if first_word in ("at", "on", "after"):  # like the description of a crontab line, which cannot be parsed back
        return 'write on.day.at("22:00"), on.friday.at("22:00") or a crontab line: 0 22 * * fri'
    return "write every 10 minutes, every day at 22:00, Fridays at 22:00, or a crontab line: */5 * * * *"
