"""At times of day, on days of the week."""

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
    """At times of day on days of the week, by the clocks of its zone.

    A time that daylight saving leaves out happens at the first instant after the gap; one that occurs twice happens
    the first time; unless its placement says otherwise.

    Args:
        days: names of days of the week; kept in the order of the week, once each.
        times: times of day, to the second; kept in order, once each.
    """

    type: ClassVar[str] = "DayTime"
    days: tuple[str, ...]
    times: tuple[time, ...]

    def __post_init__(self) -> None:
        if not self.days or not set(self.days) <= set(DAYS):
            raise InvalidSchedule(f"on {', '.join(self.days) or 'no day'}: the days are {', '.join(DAYS)}")
        if not self.times:
            raise InvalidSchedule('at(): a time of day is needed, such as at("22:00")')
        object.__setattr__(self, "days", tuple(day for day in DAYS if day in self.days))
        object.__setattr__(self, "times", tuple(sorted({each.replace(microsecond=0) for each in self.times})))

    def _following(self, moment: datetime) -> Iterator[Occurrence]:
        from zoneinfo import ZoneInfo  # every task imports this module, and hardly one asks for an instant

        from keiji.schedule.walltime import occurrences

        context = self.context
        return occurrences(
            moment,
            partial(_candidates, frozenset(map(DAYS.index, self.days)), self.times),
            ZoneInfo(context.zone),
            gap=context.gap or DstGap.AFTER,
            fold=context.fold or DstFold.FIRST,
        )

    @property
    def _group(self) -> str:
        """The name that authors have for just these days; "" where there is none."""
        return next((name for name, days in GROUPS.items() if days == self.days), "")

    def describe(self) -> str:
        days = {"": _listed([f"{day.capitalize()}s" for day in self.days]), "day": "every day"}
        return f"{days.get(self._group, self._group)} at {_listed([_clock(each) for each in self.times])}"

    def compact_form(self) -> str:
        days = "+".join(day.capitalize() for day in ([self._group] if self._group else self.days))
        return f"day:{days},time:{'+'.join(_seed_clock(each) for each in self.times)}"

    def source_form(self) -> str:
        days = self._group or ".and_.".join(self.days)
        clocks = ", ".join(f'"{_clock(each)}"' for each in self.times)
        return f"on.{days}.at({clocks})"

    def to_dict(self) -> dict[str, Any]:
        times = [each.isoformat() for each in self.times]
        return {"type": self.type, "days": list(self.days), "times": times, "context": self.context.to_dict()}


def _candidates(weekdays: frozenset[int], times: tuple[time, ...], after: datetime) -> Iterator[datetime]:
    day = after.date()
    while True:
        if day.weekday() in weekdays:
            for each in times:
                shown = datetime.combine(day, each)
                if shown > after:
                    yield shown
        day += _DAY


def _clock(moment: time) -> str:
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"


def _seed_clock(moment: time) -> str:
    return f"{moment:%I:%M:%S%p}" if moment.second else f"{moment:%I:%M%p}"


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
