"""The names for task authors: ``every(10).seconds``, ``on.friday.at("10:00PM")``, ``cron("…")``, ``once("…")``, and
the events ``manual``, ``at_start`` and ``on_change("…")``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from typing import NoReturn

from keiji.errors import InvalidSchedule
from keiji.formats import quote
from keiji.schedule.base import Schedule
from keiji.schedule.cron import Cron
from keiji.schedule.daytime import DAYS, GROUPS, DayTime
from keiji.schedule.event import AtStart, Manual, OnChange
from keiji.schedule.interval import UNITS, Interval, validate_interval
from keiji.schedule.once import Once, parse_moment
from keiji.schedule.several import combine


def _reject_dunder(name: str) -> None:
    """Raise a plain AttributeError for ``__dunder__`` names, which Python looks up before the fields are set."""
    if name.startswith("__"):
        raise AttributeError(name)


@dataclass(frozen=True)
class every:  # noqa: N801 - authors write every(10).seconds, as in the schedule library
    """An interval without its unit: ``every(10).seconds``. A day is 24 hours.

    Raises:
        InvalidSchedule: ``interval`` is not a whole number of at least 1.
    """

    interval: int

    def __post_init__(self) -> None:
        validate_interval(self.interval)

    def __getattr__(self, unit: str) -> NoReturn:
        _reject_dunder(unit)
        raise AttributeError(f"every({quote(self.interval)}).{unit}: unknown unit; expected one of {', '.join(UNITS)}")

    @property
    def seconds(self) -> Interval:
        """Every ``interval`` seconds."""
        return Interval(self.interval, "seconds")

    @property
    def minutes(self) -> Interval:
        """Every ``interval`` minutes."""
        return Interval(self.interval, "minutes")

    @property
    def hours(self) -> Interval:
        """Every ``interval`` hours."""
        return Interval(self.interval, "hours")

    @property
    def days(self) -> Interval:
        """Every ``interval`` days of 24 hours."""
        return Interval(self.interval, "days")

    @property
    def weeks(self) -> Interval:
        """Every ``interval`` weeks of 7 times 24 hours."""
        return Interval(self.interval, "weeks")


@dataclass(frozen=True)
class OnDays:
    """Days of the week without a time: call `at`, or add another day with `and_`."""

    days: tuple[str, ...]

    @property
    def and_(self) -> On:
        """Add more days: ``on.monday.and_.thursday.at("9:00")``."""
        return On(self.days)

    def at(self, *times: str) -> DayTime:
        """Return the schedule for these days at one or more times of day: "10:00PM", "22:00" or "22:00:30".

        Raises:
            InvalidSchedule: ``times`` is empty, or one of them is not a time of day.
        """
        return DayTime(self.days, tuple(map(_parse_time, times)))

    def __getattr__(self, name: str) -> NoReturn:
        _reject_dunder(name)
        raise AttributeError(
            f'on.{".and_.".join(self.days)}.{name}: expected a time, such as on.{self.days[0]}.at("22:00")'
        )


class _Day:
    """Descriptor that adds one or more days to an `On`."""

    def __init__(self, *days: str) -> None:
        self.days = days

    def __get__(self, owner: On, _: type[On]) -> OnDays:
        return OnDays((*owner.selected, *self.days))


@dataclass(frozen=True)
class On:
    """Days of the week: ``on.friday.at("10:00PM")``."""

    selected: tuple[str, ...] = ()

    monday = _Day("monday")
    tuesday = _Day("tuesday")
    wednesday = _Day("wednesday")
    thursday = _Day("thursday")
    friday = _Day("friday")
    saturday = _Day("saturday")
    sunday = _Day("sunday")
    day = _Day(*GROUPS["day"])
    weekdays = _Day(*GROUPS["weekdays"])
    weekends = _Day(*GROUPS["weekends"])

    def __getattr__(self, day: str) -> NoReturn:
        _reject_dunder(day)
        import difflib  # deferred: every task imports this module, but few misspell a day

        names = (*DAYS, *GROUPS)
        matches = difflib.get_close_matches(day, names, n=1)
        hint = f"did you mean on.{matches[0]}?" if matches else f"unknown day; expected one of {', '.join(names)}"
        raise AttributeError(f"on.{day}: {hint}")


on = On()


def cron(expression: str) -> Cron:
    """Return a crontab schedule: ``cron("*/5 9-17 * * mon-fri")`` or ``cron("@daily")``.

    Args:
        expression: five fields, six fields with seconds first, or a nickname.

    Raises:
        InvalidSchedule: a field is invalid; the message names it.
    """
    return Cron(expression)


def once(moment: str | datetime) -> Once:
    """Return a schedule with a single due instant: ``once("2027-01-01 00:00")``.

    Args:
        moment: in the zone of the task or workspace, unless it has a UTC offset. A moment in the past is rejected when
            the task is built.

    Raises:
        InvalidSchedule: ``moment`` is not a date and time.
    """
    return Once(parse_moment(moment, "once"))


manual = Manual()
at_start = AtStart()


def on_change(pattern: str) -> OnChange:
    """Return the event that files are created or changed: ``on_change("/data/in/*.csv")``.

    Args:
        pattern: an absolute path; ``*``, ``?``, ``[…]`` and ``**`` are wildcards. A folder stands for its files.

    Raises:
        InvalidSchedule: ``pattern`` is not such a path.
    """
    return OnChange(pattern)


def to_schedule(value: object) -> Schedule:
    """Return what a ``schedule()`` function returned as one schedule; it may be a list.

    Raises:
        InvalidSchedule: ``value`` is not a schedule, or not complete; the message continues "schedule() returned …".
    """
    if isinstance(value, list | tuple):
        try:
            return combine(map(to_schedule, value))
        except InvalidSchedule as error:
            raise InvalidSchedule(f"an invalid list: {error.message}", hint=error.hint) from error
    if isinstance(value, every):
        raise InvalidSchedule(
            f"every({value.interval}) without a unit; use every({value.interval}).seconds, for example"
        )
    if isinstance(value, OnDays):
        days = ".and_.".join(value.days)
        raise InvalidSchedule(f'on.{days} without a time; use on.{days}.at("22:00"), for example')
    if value is on_change:
        raise InvalidSchedule('on_change without a path; use on_change("/data/in/*.csv"), for example')
    if not isinstance(value, Schedule):
        returned = "nothing" if value is None else quote(value)[:80]
        raise InvalidSchedule(f"{returned}; return every(10).seconds, for example")
    return value


_TIME = re.compile(r"\s*(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(?:([AaPp])\.?[Mm]\.?)?\s*", re.ASCII)


def _parse_time(text: object) -> time:
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match:
        hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
        meridiem = (match[4] or "").lower()  # "a" or "p"; "" in 24-hour format
        hours = range(1, 13) if meridiem else range(24)
        if hour in hours and minute < 60 and second < 60:
            return time(hour % 12 + (12 if meridiem == "p" else 0) if meridiem else hour, minute, second)
    raise InvalidSchedule(f'at({quote(text)}): expected a time of day, such as "22:00" or "10:00PM"')
