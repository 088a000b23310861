"""At one moment, and never again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from keiji.errors import InvalidSchedule
from keiji.schedule.base import DstFold, DstGap, Occurrence, Schedule

YEARS = (1900, 9000)  # a calendar ends, and zones and intervals have to fit in


@dataclass(frozen=True)
class Once(Schedule):
    """At one moment: by the clocks of its zone, or, where ``moment`` has an offset, wherever one is."""

    type: ClassVar[str] = "Once"
    moment: datetime

    def _following(self, moment: datetime) -> Iterator[Occurrence]:
        if self.moment.tzinfo is not None:
            with suppress(OverflowError):  # beyond what a calendar can hold
                at = self.moment.astimezone(UTC)
                return iter([Occurrence(at)] if at > moment else [])
            return iter([])
        from zoneinfo import ZoneInfo

        from keiji.schedule.walltime import occurrences

        context = self.context
        return occurrences(
            moment,
            lambda after: iter([self.moment] if self.moment > after else []),
            ZoneInfo(context.zone),
            gap=context.gap or DstGap.AFTER,
            fold=context.fold or DstFold.FIRST,
        )

    def describe(self) -> str:
        return f"once at {written(self.moment)}"

    def compact_form(self) -> str:
        return f"once:{written(self.moment)}"

    def source_form(self) -> str:
        return f'once("{written(self.moment)}")'

    def to_dict(self) -> dict[str, Any]:
        return {"type": self.type, "moment": self.moment.isoformat(), "context": self.context.to_dict()}


def written(moment: datetime) -> str:
    """Return a moment as authors write it: "2027-01-01 00:00"."""
    return moment.isoformat(" ", "auto" if moment.second or moment.microsecond else "minutes")


def read_moment(text: object, where: str) -> datetime:
    """Return the moment that ``text`` tells, without a zone where it has none; ``where`` names it in errors.

    Raises:
        InvalidSchedule: it is neither text of the form "2027-01-01 00:00" nor a datetime, or lies beyond `YEARS`.
    """
    try:
        moment = text if isinstance(text, datetime) else datetime.fromisoformat(text.strip())  # type: ignore[attr-defined]
    except (AttributeError, ValueError) as error:
        raise InvalidSchedule(f'{where}({text!r}): a moment is needed, such as "2027-01-01 00:00"') from error
    if not YEARS[0] <= moment.year <= YEARS[1]:
        raise InvalidSchedule(f"{where}({text!r}): a moment from the years {YEARS[0]} to {YEARS[1]} is needed")
    return moment
