"""Several schedules of one task."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from math import lcm
from typing import Any, ClassVar, Self

from keiji.errors import InvalidSchedule
from keiji.schedule.base import Occurrence, Schedule, ScheduleContext
from keiji.schedule.event import Event, Manual

MAX_SCHEDULES = 50


@dataclass(frozen=True)
class Several(Schedule):
    """Several schedules, in one context: due whenever one of them is. An instant of several of them is due once.

    Use `combine` to create one.

    Args:
        schedules: at least two different ones, none of which is a list itself.

    Raises:
        InvalidSchedule: there are fewer, or too many.
    """

    type: ClassVar[str] = "List"
    schedules: tuple[Schedule, ...]

    def __post_init__(self) -> None:
        schedules = tuple(each.with_context(self.context) for each in self.schedules)
        if len(set(schedules)) < max(len(schedules), 2) or any(isinstance(each, Several) for each in schedules):
            raise InvalidSchedule("expected at least two different schedules")
        if len(schedules) > MAX_SCHEDULES:
            raise InvalidSchedule(f"{len(schedules)} schedules in one list; at most {MAX_SCHEDULES} are allowed")
        if any(isinstance(each, Manual) for each in schedules):
            raise InvalidSchedule(
                "manual cannot be combined with other schedules", hint="leave it out: every task can be run manually"
            )
        object.__setattr__(self, "schedules", schedules)

    def with_context(self, context: ScheduleContext) -> Self:
        return replace(self, context=context)  # which passes it on

    @property
    def has_instants(self) -> bool:
        return any(each.has_instants for each in self.schedules)

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(event for each in self.schedules for event in each.events)

    @property
    def anchored_step(self) -> timedelta:
        return min(filter(None, (each.anchored_step for each in self.schedules)), default=timedelta())

    @property
    def anchored_period(self) -> timedelta:
        steps = [each.anchored_step // timedelta(seconds=1) for each in self.schedules if each.anchored_step]
        period = lcm(*steps) if steps else 0
        return timedelta(seconds=min(period, timedelta.max // timedelta(seconds=1)))

    def _occurrences_after(self, instant: datetime) -> Iterator[Occurrence]:
        merged = heapq.merge(*(each._occurrences_after(instant) for each in self.schedules), key=_instant)
        for at, group in groupby(merged, key=_instant):
            occurrences = list(dict.fromkeys(group))
            yield from (each for each in occurrences if each.is_skipped)
            due = [each for each in occurrences if not each.is_skipped]
            if due:
                yield Occurrence(at, ", ".join(filter(None, (each.note for each in due))))

    def describe(self) -> str:
        return "; ".join(each.describe() for each in self.schedules)

    def compact_form(self) -> str:
        return ";".join(each.compact_form() for each in self.schedules)

    def source_form(self) -> str:
        return f"[{', '.join(each.source_form() for each in self.schedules)}]"

    def to_dict(self) -> dict[str, Any]:
        schedules = [{**each.to_dict(), "context": {}} for each in self.schedules]
        return {"type": self.type, "schedules": schedules, "context": self.context.to_dict()}


def combine(schedules: Iterable[Schedule]) -> Schedule:
    """Return one schedule for several: lists in it are flattened, and duplicates are left out.

    Raises:
        InvalidSchedule: there is none, there are too many, or `Manual` is one of several.
    """
    flat: dict[Schedule, None] = {}
    for each in schedules:
        flat |= dict.fromkeys(each.schedules if isinstance(each, Several) else [each])
    if not flat:
        raise InvalidSchedule("the list of schedules is empty", hint='for manual runs only, write "manual"')
    return next(iter(flat)) if len(flat) == 1 else Several(tuple(flat))


def _instant(occurrence: Occurrence) -> datetime:
    return occurrence.at
