"""What authors write: ``every(10).seconds``, ``on.friday.at("10:00PM")``, ``cron("…")``, ``once("…")``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from typing import NoReturn

from keiji.errors import InvalidSchedule
from keiji.schedule.cron import Cron
from keiji.schedule.daytime import DAYS, GROUPS, DayTime
from keiji.schedule.interval import UNITS, Interval
from keiji.schedule.once import Once, read_moment


def _refuse_special(name: str) -> None:
    """Say in Python's own way that there is no ``__such__`` thing: it asks for them before there are any fields."""
    if name.startswith("__"):
        raise AttributeError(name)


@dataclass(frozen=True)
class every:  # noqa: N801 - authors write every(10).seconds, as users of the schedule library know it
    """Every so many seconds, minutes, hours, days or weeks: ``every(10).seconds``; a day is 24 hours.

    Raises:
        InvalidSchedule: ``interval`` is not a whole number of 1 or more.
    """

    interval: int

    def __post_init__(self) -> None:
        if isinstance(self.interval, bool) or not isinstance(self.interval, int) or self.interval < 1:
            raise InvalidSchedule(f"every({self.interval!r}): a whole number of 1 or more is needed")

    def __getattr__(self, unit: str) -> NoReturn:
        _refuse_special(unit)
        raise AttributeError(f"every({self.interval}).{unit}: the units are {', '.join(UNITS)}")

    @property
    def seconds(self) -> Interval:
        """Every so many seconds."""
        return Interval(self.interval, "seconds")

    @property
    def minutes(self) -> Interval:
        """Every so many minutes."""
        return Interval(self.interval, "minutes")

    @property
    def hours(self) -> Interval:
        """Every so many hours."""
        return Interval(self.interval, "hours")

    @property
    def days(self) -> Interval:
        """Every so many times 24 hours."""
        return Interval(self.interval, "days")

    @property
    def weeks(self) -> Interval:
        """Every so many times seven days."""
        return Interval(self.interval, "weeks")


@dataclass(frozen=True)
class OnDays:
    """Days of the week, waiting for a time, or for ``and_`` another day."""

    days: tuple[str, ...]

    @property
    def and_(self) -> On:
        """More days: ``on.monday.and_.thursday.at("9:00")``."""
        return On(self.days)

    def at(self, *clocks: str) -> DayTime:
        """Return the schedule for these days at one time of day or several: "10:00PM", "22:00" or "22:00:30".

        Raises:
            InvalidSchedule: one of ``clocks`` is no time of day, or there is none.
        """
        return DayTime(self.days, tuple(map(_time_of_day, clocks)))

    def __getattr__(self, name: str) -> NoReturn:
        _refuse_special(name)
        raise AttributeError(f'on.{".and_.".join(self.days)}.{name}: on.{self.days[0]}.at("22:00"), for example')


class _Day:
    """One or more days, as an attribute of `On`."""

    def __init__(self, *days: str) -> None:
        self.days = days

    def __get__(self, owner: On, _: type[On]) -> OnDays:
        return OnDays((*owner.chosen, *self.days))


@dataclass(frozen=True)
class On:
    """Days of the week: ``on.friday.at("10:00PM")``."""

    chosen: tuple[str, ...] = ()

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
        _refuse_special(day)
        import difflib  # every task imports this module, and hardly one has a wrong day

        names = (*DAYS, *GROUPS)
        near = difflib.get_close_matches(day, names, n=1)
        hint = f"did you mean on.{near[0]}?" if near else f"the days are {', '.join(names)}"
        raise AttributeError(f"on.{day}: {hint}")


on = On()


def cron(expression: str) -> Cron:
    """As in a crontab: ``cron("*/5 9-17 * * mon-fri")``; with six fields, seconds first; or ``cron("@daily")``.

    Raises:
        InvalidSchedule: a field cannot be read; the message names it.
    """
    return Cron(expression)


def once(moment: str | datetime) -> Once:
    """At one moment: ``once("2027-01-01 00:00")``, by the clocks of the workspace, or with an offset of its own.

    Raises:
        InvalidSchedule: ``moment`` is none. One in the past is refused when the task is built.
    """
    return Once(read_moment(moment, "once"))


_CLOCK = re.compile(r"\s*(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(?:([AaPp])\.?[Mm]\.?)?\s*", re.ASCII)


def _time_of_day(clock: object) -> time:
    match = _CLOCK.fullmatch(clock) if isinstance(clock, str) else None
    if match:
        hour, minute, second, half = int(match[1]), int(match[2]), int(match[3] or 0), (match[4] or "").lower()
        hours = range(1, 13) if half else range(24)
        if hour in hours and minute < 60 and second < 60:
            return time(hour % 12 + (12 if half == "p" else 0) if half else hour, minute, second)
    raise InvalidSchedule(f'at({clock!r}): a time of day is needed, such as "22:00" or "10:00PM"')
