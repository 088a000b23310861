"""Parses schedules in plain English ("every 5 minutes") and bare crontab lines ("*/5 * * * *"). Nothing is executed.

Only unambiguous input is accepted: what `Schedule.describe` returns for the schedules of `dsl`, the abbreviations of
it that tables show, and crontab lines. Other English text is rejected with a hint about what to write.
"""

from __future__ import annotations

import re

from keiji.errors import InvalidSchedule
from keiji.schedule.base import Schedule
from keiji.schedule.daytime import DAYS, GROUPS
from keiji.schedule.dsl import OnDays, cron, every, once
from keiji.schedule.interval import UNITS

_ABBREVIATIONS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_UNITS = {**{unit: unit for unit in UNITS}, **{unit.removesuffix("s"): unit for unit in UNITS}, **_ABBREVIATIONS}
_DAY_GROUPS = {
    "every day": GROUPS["day"],
    "daily": GROUPS["day"],
    "weekdays": GROUPS["weekdays"],
    "weekends": GROUPS["weekends"],
}
_DAY_NAMES = {**{f"{day}s": day for day in DAYS}, **{day[:3]: day for day in DAYS}}
_INTERVAL = re.compile(rf"every (?:(\d{{1,9}}) ?)?({'|'.join(_UNITS)})", re.ASCII)
_TIME = r"\d{1,2}:\d\d(?::\d\d)?"
_DAYS_AND_TIMES = re.compile(rf"(.*?)(?: at)? ({_TIME}(?:(?:, | and ){_TIME})*)", re.ASCII)
_ONCE = re.compile(r"once at (\d{4}-\d\d-\d\d \d\d:\d\d\S*)", re.ASCII)
_SEPARATOR = re.compile(r", | and ")
_CRON_FIELD = re.compile(r"[\w*/,#?-]+", re.ASCII)
_FIRST_CRON_FIELD = re.compile(r"[\d*][\d*/,-]*", re.ASCII)
_MULTIPLE_WORDS = re.compile(r"[A-Za-z][\w:,.]*(?: [\w:,.]+)+", re.ASCII)
_MIN_CRON_FIELDS = 4  # one less than valid, to report a missing field as such


def parse_natural(text: str) -> Schedule | None:
    """Return the schedule that ``text`` describes in English or as a crontab line; None if it is neither.

    Raises:
        InvalidSchedule: ``text`` is English or a crontab line, but not a valid schedule; the hint says what to write.
    """
    if _is_crontab(text):
        return cron(text)
    lowercase = text.lower()
    schedule = _parse_interval(lowercase) or _parse_day_time(lowercase) or _parse_once(lowercase)
    if schedule is None and _MULTIPLE_WORDS.fullmatch(text):
        raise InvalidSchedule(f"unknown schedule {text!r}", hint=_hint(lowercase))
    return schedule


def _is_crontab(text: str) -> bool:
    fields = text.split()
    if len(fields) == 1:
        return fields[0].startswith("@")
    has_cron_fields = len(fields) >= _MIN_CRON_FIELDS and all(map(_CRON_FIELD.fullmatch, fields))
    return has_cron_fields and _FIRST_CRON_FIELD.fullmatch(fields[0]) is not None


def _parse_interval(text: str) -> Schedule | None:
    match = _INTERVAL.fullmatch(text)
    if match is None:
        return None
    if match[1] is None and f"{match[2]}s" not in UNITS:
        return None  # "every minutes" lacks a number
    schedule: Schedule = getattr(every(int(match[1] or 1)), _UNITS[match[2]])
    return schedule


def _parse_day_time(text: str) -> Schedule | None:
    match = _DAYS_AND_TIMES.fullmatch(text)
    if match is None:
        return None
    days = _DAY_GROUPS.get(match[1])
    if days is None:
        names = _SEPARATOR.split(match[1])
        if not all(name in _DAY_NAMES for name in names):
            return None
        days = tuple(_DAY_NAMES[name] for name in names)
    return OnDays(days).at(*_SEPARATOR.split(match[2]))


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
