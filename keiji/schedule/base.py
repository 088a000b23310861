"""The interface of every schedule: an immutable value that computes the instants at which a task is due.

A schedule does no I/O and never reads a clock. Task authors create one with `every`, `on`, `cron` or `once`; the engine
then attaches a `ScheduleContext` (anchor, time zone, bounds) and asks for occurrences.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

if TYPE_CHECKING:
    from keiji.schedule.event import Event

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class DstGap(StrEnum):
    """What happens to a time of day that does not exist because the clock is set forward."""

    AFTER = "after"  # due at the first instant after the gap
    SKIP = "skip"


class DstFold(StrEnum):
    """Which instants are due for a time of day that occurs twice because the clock is set back."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class ScheduleContext:
    """What a schedule needs to compute instants, in addition to what its author wrote.

    Args:
        anchor: the instant from which intervals are counted.
        zone: name of the time zone of times of day.
        gap, fold: what happens at daylight saving transitions; None for the behaviour of Debian's cron (see `Cron`).
        not_before: earliest instant that can be due.
        until: latest instant that can be due.

    Raises:
        ValueError: an instant has no time zone.
    """

    anchor: datetime = EPOCH
    zone: str = "UTC"
    gap: DstGap | None = None
    fold: DstFold | None = None
    not_before: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("anchor", "not_before", "until"):
            instant: datetime | None = getattr(self, name)
            if instant is not None and instant.utcoffset() is None:
                raise ValueError(f"{name}={instant}: the datetime has no time zone")
            # In UTC, adding a timedelta adds elapsed time; in a local zone it would add wall-clock time.
            object.__setattr__(self, name, instant and instant.astimezone(UTC))

    def to_dict(self) -> dict[str, Any]:
        """Return the values that differ from the defaults as plain JSON data; `from_dict` reverses it."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in values.items()
            if value is not None and value != getattr(DEFAULT_CONTEXT, name)
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ScheduleContext:
        """Return the context that `to_dict` stored. Raises ValueError or TypeError if a value is invalid."""
        decoders: dict[str, Callable[[str], Any]] = {
            "anchor": datetime.fromisoformat, "zone": str, "gap": DstGap, "fold": DstFold,
            "not_before": datetime.fromisoformat, "until": datetime.fromisoformat,
        }  # fmt: skip
        return cls(**{name: decode(data[name]) for name, decode in decoders.items() if name in data})


DEFAULT_CONTEXT = ScheduleContext()


class Occurrence(NamedTuple):
    """One due instant, or one that daylight saving suppresses.

    Args:
        at: the instant, in UTC.
        note: effect of daylight saving, such as "first of two 01:30"; "" if there is none.
        is_skipped: whether nothing is due; ``at`` is then the first instant after the gap.
    """

    at: datetime
    note: str = ""
    is_skipped: bool = False


class OccurrenceRange(NamedTuple):
    """The occurrences between two instants: the latest ones in full, earlier ones as a count.

    Args:
        earlier_count: number of occurrences before those in ``latest``.
        first_earlier, last_earlier: the first and the last of them; None if there are none.
        latest: the latest occurrences, in order.
        next_instant: the occurrence after ``latest`` if the count limit was reached before the end; else None.
    """

    earlier_count: int
    first_earlier: datetime | None
    last_earlier: datetime | None
    latest: tuple[datetime, ...]
    next_instant: datetime | None = None


@dataclass(frozen=True)
class Schedule(ABC):
    """Base class of all schedules."""

    type: ClassVar[str]
    context: ScheduleContext = field(default=DEFAULT_CONTEXT, kw_only=True)

    @abstractmethod
    def _occurrences_after(self, instant: datetime) -> Iterator[Occurrence]:
        """Yield the occurrences after ``instant`` (aware) in order, ignoring ``not_before`` and ``until``."""

    @abstractmethod
    def describe(self) -> str:
        """Return the schedule in plain English: "every 10 seconds", "Fridays at 22:00"."""

    @abstractmethod
    def compact_form(self) -> str:
        """Return the schedule as key:value pairs: "units:seconds,interval:10", "day:Friday,time:10:00PM"."""

    @abstractmethod
    def source_form(self) -> str:
        """Return the Python expression that creates the schedule: 'every(10).seconds'."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the schedule as plain JSON data; `from_dict` reverses it."""

    @property
    def has_instants(self) -> bool:
        """Whether the schedule has due instants; False for an event."""
        return True

    @property
    def events(self) -> tuple[Event, ...]:
        """The events that also trigger the task."""
        return ()

    @property
    def anchored_step(self) -> timedelta:
        """The shortest interval that is counted from the anchor of the context; zero if there is none."""
        return timedelta()

    @property
    def anchored_period(self) -> timedelta:
        """The time by which the anchor can be moved without a change to later instants; zero if it does not matter."""
        return timedelta()

    def with_context(self, context: ScheduleContext) -> Self:
        """Return this schedule with another context."""
        return replace(self, context=context)

    def is_same_as(self, other: Schedule) -> bool:
        """Return whether both schedules are equal, ignoring their contexts."""
        return self.with_context(DEFAULT_CONTEXT) == other.with_context(DEFAULT_CONTEXT)

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first due instant strictly after ``instant`` (aware), in UTC; None if there is none."""
        return next(self.upcoming(instant), None)

    def upcoming(self, instant: datetime) -> Iterator[datetime]:
        """Yield the due instants strictly after ``instant`` in order, possibly without end."""
        return (occurrence.at for occurrence in self.preview(instant) if not occurrence.is_skipped)

    def preview(self, instant: datetime) -> Iterator[Occurrence]:
        """Yield the occurrences after ``instant`` in order, including those that daylight saving suppresses."""
        not_before, until = self.context.not_before, self.context.until
        if not_before is not None and instant < not_before:
            instant = not_before - _TICK
        for occurrence in self._occurrences_after(instant):
            if until is not None and occurrence.at > until:
                return
            yield occurrence

    def range_until(self, first: datetime, end: datetime, *, keep_latest: int, max_count: int) -> OccurrenceRange:
        """Return the occurrences from ``first``, which is one itself, to ``end`` inclusive.

        Args:
            keep_latest: number of latest occurrences to return in full.
            max_count: number of occurrences to count before stopping, which bounds the running time.
        """
        earlier_count, last_earlier, latest = 0, None, deque([first])
        next_instant = None
        for instant in self.upcoming(first):
            if instant > end:
                break
            if earlier_count + len(latest) >= max_count:
                next_instant = instant
                break
            latest.append(instant)
            if len(latest) > keep_latest:
                earlier_count, last_earlier = earlier_count + 1, latest.popleft()
        return OccurrenceRange(
            earlier_count, first if earlier_count else None, last_earlier, tuple(latest), next_instant
        )

    def __str__(self) -> str:
        return self.describe()
