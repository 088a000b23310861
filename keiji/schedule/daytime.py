"""Schedules at times of day on days of the week."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from typing import Any, ClassVar

from keiji.errors import InvalidSchedule
from keiji.schedule.base import DstFold, DstGap, Occurrence, Schedule

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
GROUPS = {"day": DAYS, "weekdays": DAYS[:5], "weekends": DAYS[5:]}
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class DayTime(Schedule):
    """Times of day on days of the week, in the zone of its context.

    Unless the context says otherwise, a time in a daylight saving gap is due at the first instant after the gap, and a
    time that occurs twice is due the first time.

    Args:
        days: names of days of the week; sorted, without duplicates.
        times: times of day with second resolution; sorted, without duplicates.

    Raises:
        InvalidSchedule: a day is unknown, or there is no day or no time.
    """

    type: ClassVar[str] = "DayTime"
    days: tuple[str, ...]
    times: tuple[time, ...]

    def __post_init__(self) -> None:
        if not self.days or not set(self.days) <= set(DAYS):
            raise InvalidSchedule(f"on {', '.join(self.days) or 'no day'}: expected one or more of {', '.join(DAYS)}")
        if not self.times:
            raise InvalidSchedule('at(): expected a time of day, such as at("22:00")')
        object.__setattr__(self, "days", tuple(day for day in DAYS if day in self.days))
        object.__setattr__(self, "times", tuple(sorted({each.replace(microsecond=0) for each in self.times})))

    def _occurrences_after(self, instant: datetime) -> Iterator[Occurrence]:
        from zoneinfo import ZoneInfo  # deferred: every task imports this module, but few compute instants

        from keiji.schedule.walltime import occurrences

        context = self.context
        return occurrences(
            instant,
            partial(_candidates, frozenset(map(DAYS.index, self.days)), self.times),
            ZoneInfo(context.zone),
            gap=context.gap or DstGap.AFTER,
            fold=context.fold or DstFold.FIRST,
        )

    @property
    def _group(self) -> str:
        """The name of this set of days in `GROUPS`; "" if it has none."""
        return next((name for name, days in GROUPS.items() if days == self.days), "")

    def describe(self) -> str:
        days = {"": _join_words([f"{day.capitalize()}s" for day in self.days]), "day": "every day"}
        return f"{days.get(self._group, self._group)} at {_join_words([_format_24_hour(each) for each in self.times])}"

    def compact_form(self) -> str:
        days = "+".join(day.capitalize() for day in ([self._group] if self._group else self.days))
        return f"day:{days},time:{'+'.join(_format_12_hour(each) for each in self.times)}"

    def source_form(self) -> str:
        days = self._group or ".and_.".join(self.days)
        times = ", ".join(f'"{_format_24_hour(each)}"' for each in self.times)
        return f"on.{days}.at({times})"

    def to_dict(self) -> dict[str, Any]:
        times = [each.isoformat() for each in self.times]
        return {"type": self.type, "days": list(self.days), "times": times, "context": self.context.to_dict()}


def _candidates(weekdays: frozenset[int], times: tuple[time, ...], after: datetime) -> Iterator[datetime]:
    day = after.date()
    while True:
        if day.weekday() in weekdays:
            for each in times:
                wall_time = datetime.combine(day, each)
                if wall_time > after:
                    yield wall_time
        day += _DAY


def _format_24_hour(clock: time) -> str:
    return f"{clock:%H:%M:%S}" if clock.second else f"{clock:%H:%M}"


def _format_12_hour(clock: time) -> str:
    return f"{clock:%I:%M:%S%p}" if clock.second else f"{clock:%I:%M%p}"


def _join_words(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
