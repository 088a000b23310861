"""What every kind of schedule is: a frozen value that answers which instant comes after this one.

It does no I/O and never reads a clock. Authors make one with `every`, `on`, `cron` and `once`; the engine then places
it (what its intervals count from, whose clocks it goes by, its bounds) and asks it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, Self

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class DstGap(StrEnum):
    """What is done about a time of day that the clocks leave out."""

    AFTER = "after"  # at the first instant after the gap
    SKIP = "skip"


class DstFold(StrEnum):
    """What is done about a time of day that the clocks show twice."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class ScheduleContext:
    """Where a schedule stands.

    Args:
        anchor: what intervals are counted from.
        zone: name of the zone whose clocks show its times of day.
        gap, fold: what is done where daylight saving begins and ends; None for what Debian's cron does (`Cron`).
        not_before: nothing is due before this instant.
        until: nothing is due after this instant.
    """

    anchor: datetime = EPOCH
    zone: str = "UTC"
    gap: DstGap | None = None
    fold: DstFold | None = None
    not_before: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("anchor", "not_before", "until"):
            moment: datetime | None = getattr(self, name)
            if moment is not None and moment.utcoffset() is None:
                raise ValueError(f"{name}={moment}: an instant is needed, and this has no time zone")
            # In UTC, so that what is added to it is elapsed time and not what clocks show.
            object.__setattr__(self, name, moment and moment.astimezone(UTC))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data of what is not the default; `from_dict` reads it back."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in values.items()
            if value is not None and value != getattr(DEFAULT_CONTEXT, name)
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ScheduleContext:
        """Read what `to_dict` wrote. Raises ValueError or TypeError where it is something else."""
        readers: dict[str, Callable[[str], Any]] = {
            "anchor": datetime.fromisoformat, "zone": str, "gap": DstGap, "fold": DstFold,
            "not_before": datetime.fromisoformat, "until": datetime.fromisoformat,
        }  # fmt: skip
        return cls(**{name: read(data[name]) for name, read in readers.items() if name in data})


DEFAULT_CONTEXT = ScheduleContext()


class Occurrence(NamedTuple):
    """An instant, in UTC, of which there is something to say.

    Args:
        note: what daylight saving did to it, such as "first of two 01:30"; "" for nothing.
        is_skipped: whether it is left out, and ``at`` is only where it would have been.
    """

    at: datetime
    note: str = ""
    is_skipped: bool = False


class OccurrenceRange(NamedTuple):
    """The instants from one to another.

    Args:
        older: how many there are before the ``newest``.
        oldest, last_older: the first and the last of those; None where there are none.
        newest: the last ones, in order.
        following: the next instant after all of them, where counting stopped before the end; else None.
    """

    older: int
    oldest: datetime | None
    last_older: datetime | None
    newest: tuple[datetime, ...]
    following: datetime | None = None


@dataclass(frozen=True)
class Schedule(ABC):
    """What every kind of schedule answers."""

    type: ClassVar[str]
    context: ScheduleContext = field(default=DEFAULT_CONTEXT, kw_only=True)

    @abstractmethod
    def _following(self, moment: datetime) -> Iterator[Occurrence]:
        """Yield what comes after ``moment`` (aware), in order, regardless of bounds."""

    @abstractmethod
    def describe(self) -> str:
        """Return it in words: "every 10 seconds", "Fridays at 22:00"."""

    @abstractmethod
    def compact_form(self) -> str:
        """Return it as key:value pairs: "units:seconds,interval:10", "day:Friday,time:10:00PM"."""

    @abstractmethod
    def source_form(self) -> str:
        """Return it as its author wrote it: 'every(10).seconds'."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `from_dict` reads it back."""

    def with_context(self, context: ScheduleContext) -> Self:
        """Return this schedule, placed."""
        return replace(self, context=context)

    def is_same_as(self, other: Schedule) -> bool:
        """Return whether both say the same, wherever they were placed."""
        return self.with_context(DEFAULT_CONTEXT) == other.with_context(DEFAULT_CONTEXT)

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first instant strictly later than ``moment`` (aware), in UTC; None when there is none."""
        return next(self.upcoming(moment), None)

    def upcoming(self, moment: datetime) -> Iterator[datetime]:
        """Yield the instants after ``moment``, in order, for as long as there are any."""
        return (occurrence.at for occurrence in self.preview(moment) if not occurrence.is_skipped)

    def preview(self, moment: datetime) -> Iterator[Occurrence]:
        """Yield the instants after ``moment`` and, in their places, those that daylight saving leaves out."""
        not_before, until = self.context.not_before, self.context.until
        if not_before is not None and moment < not_before:
            moment = not_before - _TICK
        for occurrence in self._following(moment):
            if until is not None and occurrence.at > until:
                return
            yield occurrence

    def range_until(self, first: datetime, moment: datetime, *, newest: int, most: int) -> OccurrenceRange:
        """Return its instants from ``first``, itself one, to ``moment``: how many, and the last ones by name.

        Args:
            newest: how many of the last ones to name.
            most: how many to count before stopping, so that an answer never takes long.
        """
        older, last_older, kept = 0, None, deque([first])
        following = None
        for instant in self.upcoming(first):
            if instant > moment:
                break
            if older + len(kept) >= most:
                following = instant
                break
            kept.append(instant)
            if len(kept) > newest:
                older, last_older = older + 1, kept.popleft()
        return OccurrenceRange(older, first if older else None, last_older, tuple(kept), following)

    def __str__(self) -> str:
        return self.describe()
