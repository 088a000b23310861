"""Schedules that repeat after a fixed amount of absolute time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from keiji.errors import InvalidSchedule
from keiji.formats import quote
from keiji.schedule.base import Occurrence, OccurrenceRange, Schedule

UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 7 * 86400}
_MAX_SECONDS = 100 * 366 * 86400


@dataclass(frozen=True)
class Interval(Schedule):
    """A fixed interval of absolute time, counted from the anchor; daylight saving does not affect it.

    Raises:
        InvalidSchedule: ``interval`` is not a whole number of at least 1, ``units`` is not one of `UNITS`, or both
            together exceed a hundred years.
    """

    type: ClassVar[str] = "HMS"
    interval: int
    units: str

    def __post_init__(self) -> None:
        validate_interval(self.interval)
        if self.units not in UNITS:
            raise InvalidSchedule(
                f"every({quote(self.interval)}).{self.units}: unknown unit; expected one of {', '.join(UNITS)}"
            )
        if self.interval * UNITS[self.units] > _MAX_SECONDS:
            raise InvalidSchedule(f"every({quote(self.interval)}).{self.units}: longer than a hundred years")

    @property
    def step(self) -> timedelta:
        """The time between two occurrences."""
        return timedelta(seconds=self.interval * UNITS[self.units])

    @property
    def anchored_step(self) -> timedelta:
        return self.step

    @property
    def anchored_period(self) -> timedelta:
        return self.step

    def _occurrences_after(self, instant: datetime) -> Iterator[Occurrence]:
        anchor, step = self.context.anchor, self.step
        number = max((instant - anchor) // step, 0)
        while True:
            number += 1
            try:
                yield Occurrence(anchor + number * step)
            except OverflowError:
                return  # beyond datetime.max

    def range_until(self, first: datetime, end: datetime, *, keep_latest: int, max_count: int) -> OccurrenceRange:
        # Computed without iterating, so max_count does not apply.
        step, until = self.step, self.context.until
        last = end if until is None else min(end, until)
        count = max((last - first) // step, 0) + 1
        latest = tuple(first + number * step for number in range(max(count - keep_latest, 0), count))
        earlier_count = count - len(latest)
        if not earlier_count:
            return OccurrenceRange(0, None, None, latest)
        return OccurrenceRange(earlier_count, first, first + (earlier_count - 1) * step, latest)

    def describe(self) -> str:
        if self.interval == 1:
            return f"every {self.units.removesuffix('s')}"
        return f"every {self.interval} {self.units}"

    def compact_form(self) -> str:
        return f"units:{self.units},interval:{self.interval}"

    def source_form(self) -> str:
        return f"every({self.interval}).{self.units}"

    def to_dict(self) -> dict[str, Any]:
        return {"type": self.type, "interval": self.interval, "units": self.units, "context": self.context.to_dict()}


def validate_interval(interval: object) -> None:
    """Raise InvalidSchedule unless ``interval`` is a whole number of at least 1."""
    if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
        raise InvalidSchedule(f"every({quote(interval)}): expected a whole number of at least 1")
