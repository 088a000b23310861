"""A schedule as keiji itself says it, "every 5 minutes", or as a crontab has it, "*/5 * * * *": read, never run.

Only what can be meant in one way is taken: the words that `Schedule.words` has for what `authors` write, with the
abbreviations that tables have for them, and the line of a crontab. What else is in words is told what to write.
"""

from __future__ import annotations

import re

from keiji.errors import InvalidSchedule
from keiji.schedule.base import Schedule
from keiji.schedule.daytime import DAYS, GROUPS
from keiji.schedule.dsl import OnDays, cron, every, once
from keiji.schedule.interval import UNITS

_SHORT = {"s": "seconds", "min": "minutes", "h": "hours"}
_UNITS = {**{unit: unit for unit in UNITS}, **{unit.removesuffix("s"): unit for unit in UNITS}, **_SHORT}
_ALL = {"every day": GROUPS["day"], "weekdays": GROUPS["weekdays"], "weekends": GROUPS["weekends"]}
_ONE = {**{f"{day}s": day for day in DAYS}, **{day[:3]: day for day in DAYS}}
_EVERY = re.compile(rf"every (?:(\d{{1,9}}) )?({'|'.join(_UNITS)})", re.ASCII)
_CLOCK = r"\d{1,2}:\d\d(?::\d\d)?"
_TIMES = re.compile(rf"(.*?)(?: at)? ({_CLOCK}(?:(?:, | and ){_CLOCK})*)", re.ASCII)
_ONCE = re.compile(r"once at (\d{4}-\d\d-\d\d \d\d:\d\d\S*)", re.ASCII)
_LIST = re.compile(r", | and ")
_FIELD = re.compile(r"[\w*/,#?-]+", re.ASCII)
_FIRST_FIELD = re.compile(r"[\d*][\d*/,-]*", re.ASCII)
_WORDS = re.compile(r"[A-Za-z][\w:,.]*(?: [\w:,.]+)+", re.ASCII)
_FEWEST = 4  # fields of what was meant as a crontab line


def read_spoken(text: str) -> Schedule | None:
    """Return the schedule that the words or the crontab line ``text`` say; None where it is neither.

    Raises:
        InvalidSchedule: it is one of both, but says no schedule, or not only one; the hint says what to write.
    """
    if _is_crontab(text):
        return cron(text)
    words = text.lower()
    found = _interval(words) or _day_time(words) or _moment(words)
    if found is None and _WORDS.fullmatch(text):
        raise InvalidSchedule(f"{text!r} is not understood", hint=_hint(words))
    return found


def _is_crontab(text: str) -> bool:
    fields = text.split()
    if len(fields) == 1:
        return fields[0].startswith("@")
    is_like_one = len(fields) >= _FEWEST and all(map(_FIELD.fullmatch, fields))
    return is_like_one and _FIRST_FIELD.fullmatch(fields[0]) is not None


def _interval(words: str) -> Schedule | None:
    match = _EVERY.fullmatch(words)
    if match is None:
        return None
    if match[1] is None and f"{match[2]}s" not in UNITS:
        return None  # "every minutes": a number is missing
    schedule: Schedule = getattr(every(int(match[1] or 1)), _UNITS[match[2]])
    return schedule


def _day_time(words: str) -> Schedule | None:
    match = _TIMES.fullmatch(words)
    if match is None:
        return None
    days = _ALL.get(match[1])
    if days is None:
        named = _LIST.split(match[1])
        if not all(name in _ONE for name in named):
            return None
        days = tuple(_ONE[name] for name in named)
    return OnDays(days).at(*_LIST.split(match[2]))


def _moment(words: str) -> Schedule | None:
    match = _ONCE.fullmatch(words)
    return once(match[1]) if match else None


def _hint(words: str) -> str:
    """Return what to write instead, after the first word."""
    first = words.split(maxsplit=1)[0].rstrip("s,")
    if first == "every" and not _TIMES.fullmatch(words):
        return 'write every 10 minutes, or every(10).minutes; by the clock: on.day.at("22:00")'
    if first == "once":
        return 'write once("2027-01-01 00:00")'
    if first in ("at", "on", "after"):  # as the words for a crontab line begin, which more than one line may have
        return 'write on.day.at("22:00") or on.friday.at("22:00"); of a crontab, the line itself: 0 22 * * fri'
    return "write every 10 minutes, every day at 22:00, Fridays at 22:00, or a line of a crontab: */5 * * * *"
