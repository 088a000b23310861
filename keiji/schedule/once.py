"""Schedules with a single moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from keiji.errors import InvalidSchedule
from keiji.formats import quote
from keiji.schedule.base import DstFold, DstGap, Occurrence, Schedule

MIN_YEAR, MAX_YEAR = 1900, 9000  # leaves room for zone offsets and intervals within the range of datetime


@dataclass(frozen=True)
class Once(Schedule):
    """A single moment: in the zone of its context, or absolute if ``moment`` has a UTC offset."""

    type: ClassVar[str] = "Once"
    moment: datetime

    def _occurrences_after(self, instant: datetime) -> Iterator[Occurrence]:
        if self.moment.tzinfo is not None:
            with suppress(OverflowError):  # beyond datetime.max
                at = self.moment.astimezone(UTC)
                return iter([Occurrence(at)] if at > instant else [])
            return iter([])
        from zoneinfo import ZoneInfo

        from keiji.schedule.walltime import occurrences

        context = self.context
        return occurrences(
            instant,
            lambda after: iter([self.moment] if self.moment > after else []),
            ZoneInfo(context.zone),
            gap=context.gap or DstGap.AFTER,
            fold=context.fold or DstFold.FIRST,
        )

    def describe(self) -> str:
        return f"once at {format_moment(self.moment)}"

    def compact_form(self) -> str:
        return f"once:{format_moment(self.moment)}"

    def source_form(self) -> str:
        return f'once("{format_moment(self.moment)}")'

    def to_dict(self) -> dict[str, Any]:
        return {"type": self.type, "moment": self.moment.isoformat(), "context": self.context.to_dict()}


def format_moment(moment: datetime) -> str:
    """Return a moment in the form that `parse_moment` reads: "2027-01-01 00:00"."""
    return moment.isoformat(" ", "auto" if moment.second or moment.microsecond else "minutes")


def parse_moment(value: object, name: str) -> datetime:
    """Return ``value`` as a datetime, naive unless it has a UTC offset.

    Args:
        value: a datetime, or text such as "2027-01-01 00:00".
        name: the function or option that received the value, for the error message.

    Raises:
        InvalidSchedule: ``value`` is not a date and time, or its year is not from `MIN_YEAR` to `MAX_YEAR`.
    """
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value.strip())  # type: ignore[attr-defined]
    except (AttributeError, ValueError) as error:
        raise InvalidSchedule(
            f'{name}({quote(value)}): expected a date and time, such as "2027-01-01 00:00"'
        ) from error
    if not MIN_YEAR <= moment.year <= MAX_YEAR:
        raise InvalidSchedule(f"{name}({quote(value)}): expected a year from {MIN_YEAR} to {MAX_YEAR}")
    return moment
