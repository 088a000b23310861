"""When a task runs, as a value.

A schedule answers one question: which instant comes next after this one? It is frozen, does no I/O and never reads a
clock. Authors make one with `every` and `on`; the engine then places it (anchor, zone) and asks it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from keiji.errors import InvalidSchedule

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
UNITS = {"seconds": 1, "minutes": 60, "hours": 3600}


@dataclass(frozen=True)
class Schedule(ABC):
    """What every kind of schedule answers."""

    type: ClassVar[str]

    @abstractmethod
    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first instant strictly later than ``moment`` (aware), in UTC; None when there is none."""

    @abstractmethod
    def placed(self, *, anchor: datetime, zone: str) -> Schedule:
        """Return this schedule with its intervals counted from ``anchor`` and its times of day in ``zone``."""

    def in_zone(self, zone: str) -> Schedule:
        """Return this schedule, placed already, by the clocks of another zone; itself where that changes nothing."""
        return self

    def is_same_as(self, other: Schedule) -> bool:
        """Return whether both say the same, wherever they were placed."""
        return type(self) is type(other) and self.placed(anchor=EPOCH, zone="UTC") == other.placed(
            anchor=EPOCH, zone="UTC"
        )

    @abstractmethod
    def words(self) -> str:
        """Return it in words: "every 10 seconds", "Fridays at 22:00"."""

    @abstractmethod
    def seed_form(self) -> str:
        """Return it as key:value pairs: "units:seconds,interval:10", "day:Friday,time:10:00PM"."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `from_dict` reads it back."""

    def upcoming(self, moment: datetime) -> Iterator[datetime]:
        """Yield the instants after ``moment``, in order, for as long as there are any."""
        following = self.next_after(moment)
        while following is not None:
            yield following
            following = self.next_after(following)

    def due_until(self, first: datetime, moment: datetime) -> tuple[int, datetime]:
        """Return how many of its instants lie from ``first``, itself one, to ``moment``, and the last of them."""
        count, latest = 1, first
        following = self.next_after(first)
        while following is not None and following <= moment:
            count, latest = count + 1, following
            following = self.next_after(following)
        return count, latest

    def __str__(self) -> str:
        return self.words()


@dataclass(frozen=True)
class Interval(Schedule):
    """Every so many seconds, minutes or hours of absolute time, counted from ``anchor``; knows no daylight saving."""

    type: ClassVar[str] = "HMS"
    interval: int
    units: str
    anchor: datetime = EPOCH

    def __post_init__(self) -> None:
        if isinstance(self.interval, bool) or not isinstance(self.interval, int) or self.interval < 1:
            raise InvalidSchedule(f"every({self.interval!r}): a whole number of {self.units}, 1 or more, is needed")
        if self.units not in UNITS:
            raise InvalidSchedule(f"every({self.interval}).{self.units}: the units are {', '.join(UNITS)}")
        if self.interval * UNITS[self.units] > 100 * 366 * 86400:
            raise InvalidSchedule(f"every({self.interval}).{self.units}: more than a hundred years apart")

    @property
    def step(self) -> timedelta:
        """The time between two occurrences."""
        return timedelta(seconds=self.interval * UNITS[self.units])

    def next_after(self, moment: datetime) -> datetime:
        elapsed = (moment - self.anchor) // self.step
        return self.anchor + (max(elapsed, 0) + 1) * self.step

    def due_until(self, first: datetime, moment: datetime) -> tuple[int, datetime]:
        passed = max((moment - first) // self.step, 0)
        return passed + 1, first + passed * self.step

    def placed(self, *, anchor: datetime, zone: str) -> Interval:
        return replace(self, anchor=anchor.astimezone(UTC))

    def words(self) -> str:
        if self.interval == 1:
            return f"every {self.units.removesuffix('s')}"
        return f"every {self.interval} {self.units}"

    def seed_form(self) -> str:
        return f"units:{self.units},interval:{self.interval}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "interval": self.interval,
            "units": self.units,
            "anchor": self.anchor.isoformat(),
        }


@dataclass(frozen=True)
class DayTime(Schedule):
    """At a time of day on one day of the week, by the clocks of ``zone``.

    A time that daylight saving leaves out happens at the first instant after the gap; one that occurs twice happens
    the first time.
    """

    type: ClassVar[str] = "DayTime"
    day: str
    at: time
    zone: str = "UTC"

    def next_after(self, moment: datetime) -> datetime:
        from zoneinfo import ZoneInfo  # every task imports this module, and hardly one asks for an instant

        zone = ZoneInfo(self.zone)
        moment = moment.astimezone(UTC)
        wanted = DAYS.index(self.day)
        # A gap can push the instant past midnight, so the day before today may still hold what is next.
        day = moment.astimezone(zone).date() - timedelta(days=1)
        while True:
            if day.weekday() == wanted:
                instant = _instant(day, self.at, zone)
                if instant > moment:
                    return instant
            day += timedelta(days=1)

    def placed(self, *, anchor: datetime, zone: str) -> DayTime:
        return replace(self, zone=zone)

    def in_zone(self, zone: str) -> DayTime:
        return replace(self, zone=zone)

    def words(self) -> str:
        return f"{self.day.capitalize()}s at {self.at:%H:%M}"

    def seed_form(self) -> str:
        return f"day:{self.day.capitalize()},time:{self.at:%I:%M%p}"

    def to_dict(self) -> dict[str, Any]:
        return {"type": self.type, "day": self.day, "at": f"{self.at:%H:%M}", "zone": self.zone}


def _instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return when clocks in ``zone`` first show ``at`` on ``day``, in UTC; in a gap, the first instant after it."""
    local = datetime.combine(day, at, tzinfo=zone)
    instant = local.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    # In a gap fold=1 reads the clock as if it had been moved already, which lies before the move; fold=0 lies after.
    before, after = local.replace(fold=1).astimezone(UTC), instant
    offset_before = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == offset_before:
            before = middle
        else:
            after = middle
    return after


def from_dict(data: dict[str, Any]) -> Schedule:
    """Read what `Schedule.to_dict` wrote.

    Raises:
        InvalidSchedule: the data is of no kind of schedule that this version knows.
    """
    try:
        if data["type"] == Interval.type:
            return Interval(data["interval"], data["units"], datetime.fromisoformat(data["anchor"]))
        if data["type"] == DayTime.type:
            return DayTime(data["day"], time.fromisoformat(data["at"]), data["zone"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidSchedule(f"stored schedule {data!r} cannot be read: {error}") from error
    raise InvalidSchedule(f"stored schedule {data!r} is of a kind that this version does not know")


@dataclass(frozen=True)
class every:  # noqa: N801 - authors write every(10).seconds, as users of the schedule library know it
    """Every so many seconds, minutes or hours: ``every(10).seconds``.

    Raises:
        InvalidSchedule: ``interval`` is not a whole number of 1 or more.
    """

    interval: int

    def __post_init__(self) -> None:
        if isinstance(self.interval, bool) or not isinstance(self.interval, int) or self.interval < 1:
            raise InvalidSchedule(f"every({self.interval!r}): a whole number of 1 or more is needed")

    def __getattr__(self, unit: str) -> NoReturn:
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


@dataclass(frozen=True)
class OnDay:
    """One day of the week, waiting for its time."""

    day: str

    def at(self, clock: str) -> DayTime:
        """Return the schedule for this day at ``clock``: "10:00PM" or "22:00".

        Raises:
            InvalidSchedule: ``clock`` is no time of day.
        """
        return DayTime(self.day, _time_of_day(clock))


class _On:
    """Days of the week: ``on.friday.at("10:00PM")``."""

    monday = OnDay("monday")
    tuesday = OnDay("tuesday")
    wednesday = OnDay("wednesday")
    thursday = OnDay("thursday")
    friday = OnDay("friday")
    saturday = OnDay("saturday")
    sunday = OnDay("sunday")

    def __getattr__(self, day: str) -> NoReturn:
        import difflib  # every task imports this module, and hardly one has a wrong day

        near = difflib.get_close_matches(day, DAYS, n=1)
        hint = f"did you mean on.{near[0]}?" if near else f"the days are {', '.join(DAYS)}"
        raise AttributeError(f"on.{day}: {hint}")


on = _On()

_CLOCK = re.compile(r"\s*(\d{1,2}):(\d{2})\s*(?:([AaPp])\.?[Mm]\.?)?\s*", re.ASCII)


def _time_of_day(clock: object) -> time:
    match = _CLOCK.fullmatch(clock) if isinstance(clock, str) else None
    if match:
        hour, minute, half = int(match[1]), int(match[2]), (match[3] or "").lower()
        hours = range(1, 13) if half else range(24)
        if hour in hours and minute < 60:
            return time(hour % 12 + (12 if half == "p" else 0) if half else hour, minute)
    raise InvalidSchedule(f'at({clock!r}): a time of day is needed, such as "22:00" or "10:00PM"')
