"""What happens around occurrences and runs: overlap, catching up, retries, limits, and what daylight saving does."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from keiji.errors import InvalidPolicy, InvalidSchedule
from keiji.schedule.base import DstFold, DstGap, ScheduleContext
from keiji.schedule.once import read_moment, written

LONGEST_SECONDS = 366 * 86400.0  # a year: longer waits are mistakes, and no date could hold some of them
MOST_PARALLEL = 1000


class Overlap(StrEnum):
    """What happens to an occurrence that is due while an earlier run of its task has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"


class CatchUp(StrEnum):
    """Which occurrences run of those that were due while the engine was down or asleep."""

    LATEST = "latest"
    NONE = "none"
    EARLIEST = "earliest"
    ALL = "all"


_E = TypeVar("_E", bound=StrEnum)


def _number(
    owner: str, name: str, value: Any, *, least: float, most: float = LONGEST_SECONDS, of: str = " of seconds"
) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InvalidPolicy(f"{owner}({name}={value!r}): a number{of} from {least:g} to {most:,.0f} is needed")
    return float(value)


def _count(owner: str, name: str, value: Any, *, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidPolicy(f"{owner}({name}={value!r}): a whole number from {least} to {most} is needed")
    return value


def _choice(name: str, value: Any, kind: type[_E]) -> _E:
    try:
        return kind(value)
    except ValueError:
        import difflib

        near = difflib.get_close_matches(str(value), [str(each) for each in kind], n=1)
        allowed = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(repr(e.value) for e in kind)}"
        raise InvalidPolicy(f"Policy({name}={value!r}): {allowed}") from None


def _moment(name: str, value: Any) -> datetime:
    try:
        return read_moment(value, name)
    except InvalidSchedule as error:
        raise InvalidPolicy(f'Policy({name}={value!r}): a moment is needed, such as "2027-01-01 00:00"') from error


def _zone(value: Any) -> str:
    from zoneinfo import ZoneInfo, available_timezones  # few tasks have a zone of their own

    try:
        return ZoneInfo(value).key
    except (OSError, TypeError, ValueError, LookupError, AttributeError):
        import difflib

        near = difflib.get_close_matches(str(value), available_timezones(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "it is named as Continent/City, such as 'Africa/Nairobi'"
        raise InvalidPolicy(f"Policy(tz={value!r}): there is no such time zone; {hint}") from None


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a failed run is tried again.

    Args:
        tries: attempts in all, the first one included; 1 means never again.
        delay: seconds between the end of the first attempt and the start of the second.
        backoff: what the delay is multiplied by after each further attempt, until it is a year; from 1 to 1000.
        jitter: up to so many seconds, drawn at random, are added to each delay.

    Raises:
        InvalidPolicy: a value is outside its range.
    """

    tries: int = 1
    delay: float = 0.0
    backoff: float = 1.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        _count("Retry", "tries", self.tries, least=1, most=100)
        object.__setattr__(self, "delay", _number("Retry", "delay", self.delay, least=0))
        object.__setattr__(self, "backoff", _number("Retry", "backoff", self.backoff, least=1, most=1000, of=""))
        object.__setattr__(self, "jitter", _number("Retry", "jitter", self.jitter, least=0))

    def delay_after(self, attempt: int, *, drawn: float = 0.0) -> float | None:
        """Return the seconds to wait after failed attempt number ``attempt`` (from 1), or None when it was the last.

        Args:
            drawn: how much of the jitter is added, from 0 to 1.
        """
        if attempt >= self.tries:
            return None
        return min(self.delay * self.backoff ** (attempt - 1) + drawn * self.jitter, LONGEST_SECONDS)

    def describe(self) -> str:
        """Return it for people: "up to 3 tries, 1 s apart, times 2 each"; "" when there is no second."""
        if self.tries == 1:
            return ""
        parts = [f"up to {self.tries} tries"]
        if self.delay:
            parts.append(f"{self.delay:g} s apart")
        if self.backoff != 1:
            parts.append(f"times {self.backoff:g} each")
        if self.jitter:
            parts.append(f"and up to {self.jitter:g} s by chance")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a task's author asks for around each run.

    Args:
        timeout: seconds after which a run is stopped and counts as timed out; None for no limit.
        stop_grace: seconds between asking a run to end (SIGTERM) and making it (SIGKILL).
        retry: how often a failed or timed-out run is tried again.
        overlap: what is due while the task still runs is "skip"ped, put into a "queue", "replace"s what runs, or is
            "allow"ed to run beside it.
        queue: how many may wait with ``overlap="queue"``; one more is skipped.
        max_parallel: how many may run at once with ``overlap="allow"``; None for no limit but that of the engine.
        catch_up: what runs of what was due while the engine was down or asleep: the "latest", "none", the "earliest",
            or "all".
        catch_up_window: seconds; what was due longer ago is not caught up with. None for no limit.
        catch_up_cap: how many run at most with ``catch_up="all"``, the newest ones.
        jitter: seconds; each run starts up to so much after its instant. How much, depends on task and instant alone.
        not_before, until: nothing is due before the one or after the other: "2027-01-01 00:00", or a datetime.
        hold_after: after so many failures in a row the task is held until somebody resolves it; 0 for never.
        dst_gap: a time of day that daylight saving leaves out is due "after" the gap, or is to "skip". None for what
            Debian's cron does: after it, but for crons whose minute or hour is ``*``, which go by the real clock.
        dst_fold: a time of day that comes twice is due the "first" time, the "second", or "both". None as for
            ``dst_gap``.
        tz: the zone of the task's times of day, such as "Europe/Berlin"; None for that of the workspace.

    Raises:
        InvalidPolicy: a value is outside its range.
    """

    timeout: float | None = None
    stop_grace: float = 10.0
    retry: Retry = field(default_factory=Retry)
    overlap: Overlap | str = Overlap.SKIP
    queue: int = 10
    max_parallel: int | None = None
    catch_up: CatchUp | str = CatchUp.LATEST
    catch_up_window: float | None = None
    catch_up_cap: int = 10
    jitter: float = 0.0
    not_before: datetime | str | None = None
    until: datetime | str | None = None
    hold_after: int = 0
    dst_gap: DstGap | str | None = None
    dst_fold: DstFold | str | None = None
    tz: str | None = None

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "stop_grace": _number("Policy", "stop_grace", self.stop_grace, least=0),
            "overlap": _choice("overlap", self.overlap, Overlap),
            "queue": _count("Policy", "queue", self.queue, least=1, most=MOST_PARALLEL),
            "catch_up": _choice("catch_up", self.catch_up, CatchUp),
            "catch_up_cap": _count("Policy", "catch_up_cap", self.catch_up_cap, least=1, most=MOST_PARALLEL),
            "jitter": _number("Policy", "jitter", self.jitter, least=0),
            "hold_after": _count("Policy", "hold_after", self.hold_after, least=0, most=MOST_PARALLEL),
        }
        if self.timeout is not None:
            checked["timeout"] = _number("Policy", "timeout", self.timeout, least=0.001)
        if not isinstance(self.retry, Retry):
            raise InvalidPolicy(f"Policy(retry={self.retry!r}): a Retry(tries=…, delay=…) is needed")
        if self.max_parallel is not None:
            checked["max_parallel"] = _count("Policy", "max_parallel", self.max_parallel, least=1, most=MOST_PARALLEL)
        if self.catch_up_window is not None:
            longest = 100 * LONGEST_SECONDS
            checked["catch_up_window"] = _number(
                "Policy", "catch_up_window", self.catch_up_window, least=1, most=longest
            )
        if self.dst_gap is not None:
            checked["dst_gap"] = _choice("dst_gap", self.dst_gap, DstGap)
        if self.dst_fold is not None:
            checked["dst_fold"] = _choice("dst_fold", self.dst_fold, DstFold)
        if self.tz is not None:
            checked["tz"] = _zone(self.tz)
        for name in ("not_before", "until"):
            if (value := getattr(self, name)) is not None:
                checked[name] = _moment(name, value)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def schedule_context(self, *, anchor: datetime, zone: str) -> ScheduleContext:
        """Return where this policy places a schedule.

        Args:
            anchor: what intervals are counted from.
            zone: that of the workspace, for a task without one of its own.
        """
        zone = self.tz or zone
        return ScheduleContext(
            anchor=anchor.astimezone(UTC),
            zone=zone,
            gap=DstGap(self.dst_gap) if self.dst_gap else None,
            fold=DstFold(self.dst_fold) if self.dst_fold else None,
            not_before=_instant(self.not_before, zone),
            until=_instant(self.until, zone),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data of what is not the default; `from_dict` reads it back."""
        return {name: _plain(value) for name, value in _set_in(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Policy:
        """Read what `to_dict` wrote. Unknown keys, as a newer version may write, are passed over."""
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        if "retry" in values:
            values["retry"] = Retry(**{f.name: data["retry"][f.name] for f in fields(Retry) if f.name in data["retry"]})
        return cls(**values)

    def describe(self) -> str:
        """Return it for people: what becomes of overlaps and of what was missed, then what differs from the default."""
        overlap = {Overlap.QUEUE: f" of {self.queue}", Overlap.ALLOW: f" {self.max_parallel or 'any number'} at once"}
        within = f" within {self.catch_up_window:g} s" if self.catch_up_window is not None else ""
        cap = f" up to {self.catch_up_cap}" if self.catch_up is CatchUp.ALL else ""
        parts = [
            f"overlap {self.overlap}{overlap.get(Overlap(self.overlap), '')}",
            f"catch up {self.catch_up}{cap}{within}",
            f"timeout {self.timeout:g} s" if self.timeout is not None else "",
            self.retry.describe(),
            f"stop grace {self.stop_grace:g} s" if self.stop_grace != 10.0 else "",
            f"jitter {self.jitter:g} s" if self.jitter else "",
            f"held after {self.hold_after} failure{'s' if self.hold_after > 1 else ''}" if self.hold_after else "",
            f"not before {written(self.not_before)}" if isinstance(self.not_before, datetime) else "",
            f"until {written(self.until)}" if isinstance(self.until, datetime) else "",
            f"DST gap {self.dst_gap}" if self.dst_gap else "",
            f"DST fold {self.dst_fold}" if self.dst_fold else "",
            f"by the clocks of {self.tz}" if self.tz else "",
        ]
        return ", ".join(part for part in parts if part)


def _set_in(record: Policy | Retry) -> dict[str, Any]:
    """Return the values of a record that differ from its defaults."""
    default = type(record)()
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def _plain(value: Any) -> Any:
    if isinstance(value, Retry):
        return _set_in(value)
    if isinstance(value, StrEnum):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _instant(moment: datetime | str | None, zone: str) -> datetime | None:
    if moment is None:
        return None
    assert isinstance(moment, datetime), "text was read when the policy was made"
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    from zoneinfo import ZoneInfo

    from keiji.schedule.walltime import instant_of

    return instant_of(moment, ZoneInfo(zone))
