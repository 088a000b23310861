"""Every so many units of absolute time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from keiji.errors import InvalidSchedule
from keiji.schedule.base import Occurrence, OccurrenceRange, Schedule

UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 7 * 86400}
_LONGEST = 100 * 366 * 86400


@dataclass(frozen=True)
class Interval(Schedule):
    """Every so many units of absolute time, counted from the anchor; knows no daylight saving.

    Raises:
        InvalidSchedule: ``interval`` is not a whole number of 1 or more, or ``units`` are none that there are.
    """

    type: ClassVar[str] = "HMS"
    interval: int
    units: str

    def __post_init__(self) -> None:
        if isinstance(self.interval, bool) or not isinstance(self.interval, int) or self.interval < 1:
            raise InvalidSchedule(f"every({self.interval!r}): a whole number of {self.units}, 1 or more, is needed")
        if self.units not in UNITS:
            raise InvalidSchedule(f"every({self.interval}).{self.units}: the units are {', '.join(UNITS)}")
        if self.interval * UNITS[self.units] > _LONGEST:
            raise InvalidSchedule(f"every({self.interval}).{self.units}: more than a hundred years apart")

    @property
    def step(self) -> timedelta:
        """The time between two occurrences."""
        return timedelta(seconds=self.interval * UNITS[self.units])

    def _following(self, moment: datetime) -> Iterator[Occurrence]:
        anchor, step = self.context.anchor, self.step
        number = max((moment - anchor) // step, 0)
        while True:
            number += 1
            try:
                yield Occurrence(anchor + number * step)
            except OverflowError:
                return  # the end of what a calendar can hold

    def range_until(self, first: datetime, moment: datetime, *, newest: int, most: int) -> OccurrenceRange:
        step, until = self.step, self.context.until
        last = moment if until is None else min(moment, until)
        count = max((last - first) // step, 0) + 1
        named = tuple(first + number * step for number in range(max(count - newest, 0), count))
        older = count - len(named)
        if not older:
            return OccurrenceRange(0, None, None, named)
        return OccurrenceRange(older, first, first + (older - 1) * step, named)

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
