"""Policies of a task: overlap, catch-up, retries, limits and daylight saving behaviour."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self, TypeVar

from keiji.errors import InvalidPolicy, InvalidSchedule
from keiji.formats import format_duration, parse_duration, quote
from keiji.schedule.base import DstFold, DstGap, ScheduleContext
from keiji.schedule.once import format_moment, parse_moment

MAX_SECONDS = 366 * 86400.0  # one year: a longer wait is a mistake, and might overflow datetime
MAX_COUNT = 1000


class Overlap(StrEnum):
    """What happens to an occurrence that is due while an earlier run of the task is still active."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"


class CatchUp(StrEnum):
    """Which missed occurrences run after the engine was stopped or suspended."""

    LATEST = "latest"
    NONE = "none"
    EARLIEST = "earliest"
    ALL = "all"


class Leave(StrEnum):
    """What a run may leave behind when it ends by itself."""

    NOTHING = "nothing"
    CHILDREN = "children"


_E = TypeVar("_E", bound=StrEnum)


def _number(
    owner: str, name: str, value: Any, *, minimum: float, maximum: float = MAX_SECONDS, unit: str = ""
) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
        noun = f"a number of {unit}" if unit else "a number"
        expected = f"{noun} from {minimum:g} to {maximum:,.0f}" + (', or a duration such as "1h30m"' if unit else "")
        raise InvalidPolicy(f"{owner}({name}={quote(value)}): expected {expected}")
    return float(value)


def _seconds(owner: str, name: str, value: Any, *, minimum: float = 0, maximum: float = MAX_SECONDS) -> float:
    seconds = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            seconds = parse_duration(value)
            if not minimum <= seconds <= maximum:
                seconds = value  # the message shows what the author wrote
    return _number(owner, name, seconds, minimum=minimum, maximum=maximum, unit="seconds")


def _count(owner: str, name: str, value: Any, *, minimum: int, maximum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise InvalidPolicy(f"{owner}({name}={quote(value)}): expected a whole number from {minimum} to {maximum}")
    return value


def _reject_unknown(cls: type, positional: Sequence[object], options: Collection[str]) -> None:
    """Raise InvalidPolicy for an option that ``cls`` does not have, with the nearest name."""
    names = [f.name for f in fields(cls)]
    for option in options:
        if option not in names:
            import difflib  # deferred: every task imports this module, but few misspell an option

            matches = difflib.get_close_matches(option, names, n=1)
            hint = f"did you mean {matches[0]!r}?" if matches else f"expected one of {', '.join(names)}"
            raise InvalidPolicy(f"{cls.__name__}({option}=…): unknown option; {hint}")
    twice = next((name for name in names[: len(positional)] if name in options), None)
    if twice is not None:
        raise InvalidPolicy(f"{cls.__name__}({twice}=…): the option is set twice")
    if len(positional) > len(names):
        raise InvalidPolicy(f"{cls.__name__}(…): {len(positional)} values, but there are {len(names)} options")


def _choice(name: str, value: Any, enum: type[_E]) -> _E:
    try:
        return enum(value)
    except ValueError:
        import difflib

        matches = difflib.get_close_matches(quote(value).strip("'"), [str(each) for each in enum], n=1)
        choices = ", ".join(repr(each.value) for each in enum)
        hint = f"did you mean {matches[0]!r}?" if matches else f"expected one of {choices}"
        raise InvalidPolicy(f"Policy({name}={quote(value)}): {hint}") from None


def _moment(name: str, value: Any) -> datetime:
    try:
        return parse_moment(value, name)
    except InvalidSchedule as error:
        raise InvalidPolicy(
            f'Policy({name}={quote(value)}): expected a date and time, such as "2027-01-01 00:00"'
        ) from error


def _zone(value: Any) -> str:
    from zoneinfo import ZoneInfo, available_timezones  # deferred: few tasks set a zone

    try:
        return ZoneInfo(value).key
    except (OSError, TypeError, ValueError, LookupError, AttributeError):
        import difflib

        matches = difflib.get_close_matches(quote(value).strip("'"), available_timezones(), n=1)
        hint = f"did you mean {matches[0]!r}?" if matches else "expected Continent/City, such as 'Africa/Nairobi'"
        raise InvalidPolicy(f"Policy(tz={quote(value)}): unknown time zone; {hint}") from None


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed run is retried. A duration is a number of seconds, or text such as "30s" or "1h30m".

    Args:
        tries: total number of attempts, including the first; 1 means no retry.
        delay: seconds between the end of the first attempt and the start of the second.
        backoff: factor from 1 to 1000 by which the delay grows with each further attempt, up to one year.
        jitter: maximum number of random seconds added to each delay.

    Raises:
        InvalidPolicy: a value is outside its range, or there is no such option.
    """

    tries: int = 1
    delay: float = 0.0
    backoff: float = 1.0
    jitter: float = 0.0

    def __new__(cls, *values: Any, **options: Any) -> Self:
        _reject_unknown(cls, values, options)
        return object.__new__(cls)

    def __post_init__(self) -> None:
        _count("Retry", "tries", self.tries, minimum=1, maximum=100)
        object.__setattr__(self, "delay", _seconds("Retry", "delay", self.delay))
        object.__setattr__(self, "backoff", _number("Retry", "backoff", self.backoff, minimum=1, maximum=1000))
        object.__setattr__(self, "jitter", _seconds("Retry", "jitter", self.jitter))

    def delay_after(self, attempt: int, *, jitter_fraction: float = 0.0) -> float | None:
        """Return the seconds to wait after failed attempt number ``attempt`` (from 1), or None if it was the last.

        Args:
            jitter_fraction: part of the jitter to add, from 0 to 1.
        """
        if attempt >= self.tries:
            return None
        return min(self.delay * self.backoff ** (attempt - 1) + jitter_fraction * self.jitter, MAX_SECONDS)

    def describe(self) -> str:
        """Return the policy in plain English: "up to 3 tries, delay 1s, backoff 2"; "" without retries."""
        if self.tries == 1:
            return ""
        parts = [f"up to {self.tries} tries"]
        if self.delay:
            parts.append(f"delay {format_duration(self.delay)}")
        if self.backoff != 1:
            parts.append(f"backoff {self.backoff:g}")
        if self.jitter:
            parts.append(f"jitter {format_duration(self.jitter)}")
        return ", ".join(parts)


class _Given:
    """Remembers which options were set: a value that equals the default may have been set to override another one."""

    __slots__ = ("_given",)
    _given: frozenset[str]


@dataclass(frozen=True, slots=True)
class Policy(_Given):
    """How the engine runs a task, beyond its schedule. A duration is a number of seconds, or text such as "1h30m".

    Args:
        timeout: seconds after which a run is stopped and counts as timed out; None for no limit.
        stop_grace: seconds between SIGTERM and SIGKILL when a run is stopped; both go to all its processes.
        leave: what becomes of processes that are still running when the function has returned: "nothing" is left, they
            are killed; "children" continue. A run that is stopped or times out ends with all its processes.
        retry: when a failed or timed-out run is retried.
        overlap: what happens to an occurrence that is due while the task is running: "skip" it, "queue" it, "replace"
            the active run, or "allow" both.
        queue: maximum queue length with ``overlap="queue"``; further occurrences are skipped.
        max_parallel: maximum number of parallel runs with ``overlap="allow"``; None for the limit of the engine only.
        catch_up: which occurrences run after the engine was stopped or suspended: the "latest", "none", the
            "earliest", or "all".
        catch_up_window: maximum age in seconds of an occurrence that is caught up; None for no limit.
        catch_up_cap: maximum number of occurrences, counted from the latest, that run with ``catch_up="all"``.
        jitter: maximum start delay in seconds. The delay is derived from the task and the instant.
        not_before, until: earliest and latest moment that can be due: "2027-01-01 00:00", or a datetime.
        hold_after: number of consecutive failures after which the task is held until it is resolved; 0 for never.
        dst_gap: what happens to a time of day that does not exist: due "after" the gap, or omitted ("skip").
            None for the behaviour of Debian's cron: after the gap; omitted for crontab lines whose minute or hour
            begins with ``*``.
        dst_fold: when a time of day that occurs twice is due: the "first" time, the "second", or "both". None for the
            behaviour of Debian's cron: the first; both for crontab lines whose minute or hour begins with ``*``.
        tz: time zone of the task's times of day, such as "Europe/Berlin"; None for that of the workspace.

    Raises:
        InvalidPolicy: a value is outside its range, or there is no such option.
    """

    timeout: float | None = None
    stop_grace: float = 10.0
    leave: Leave | str = Leave.NOTHING
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

    def __new__(cls, *values: Any, **options: Any) -> Self:
        _reject_unknown(cls, values, options)
        policy = object.__new__(cls)
        positional = (f.name for f in fields(cls)[: len(values)])
        object.__setattr__(policy, "_given", frozenset((*positional, *options)))
        return policy

    def __post_init__(self) -> None:
        validated: dict[str, Any] = {
            "stop_grace": _seconds("Policy", "stop_grace", self.stop_grace),
            "leave": _choice("leave", self.leave, Leave),
            "overlap": _choice("overlap", self.overlap, Overlap),
            "queue": _count("Policy", "queue", self.queue, minimum=1, maximum=MAX_COUNT),
            "catch_up": _choice("catch_up", self.catch_up, CatchUp),
            "catch_up_cap": _count("Policy", "catch_up_cap", self.catch_up_cap, minimum=1, maximum=MAX_COUNT),
            "jitter": _seconds("Policy", "jitter", self.jitter),
            "hold_after": _count("Policy", "hold_after", self.hold_after, minimum=0, maximum=MAX_COUNT),
        }
        if self.timeout is not None:
            validated["timeout"] = _seconds("Policy", "timeout", self.timeout, minimum=0.001)
        if not isinstance(self.retry, Retry):
            raise InvalidPolicy(f"Policy(retry={quote(self.retry)}): expected Retry(tries=…, delay=…)")
        if self.max_parallel is not None:
            validated["max_parallel"] = _count(
                "Policy", "max_parallel", self.max_parallel, minimum=1, maximum=MAX_COUNT
            )
        if self.catch_up_window is not None:
            validated["catch_up_window"] = _seconds(
                "Policy", "catch_up_window", self.catch_up_window, minimum=1, maximum=100 * MAX_SECONDS
            )
        if self.dst_gap is not None:
            validated["dst_gap"] = _choice("dst_gap", self.dst_gap, DstGap)
        if self.dst_fold is not None:
            validated["dst_fold"] = _choice("dst_fold", self.dst_fold, DstFold)
        if self.tz is not None:
            validated["tz"] = _zone(self.tz)
        for name in ("not_before", "until"):
            if (value := getattr(self, name)) is not None:
                validated[name] = _moment(name, value)
        for name, value in validated.items():
            object.__setattr__(self, name, value)

    @property
    def given(self) -> frozenset[str]:
        """The names of the options that were set, even if to the default; of a copy, those that differ from it."""
        given: frozenset[str] | None = getattr(self, "_given", None)
        return frozenset(_non_default_values(self)) if given is None else given

    def with_defaults(self, defaults: Policy) -> Policy:
        """Return this policy with the options that only ``defaults`` sets."""
        own, others = self.given, defaults.given - self.given
        if not others:
            return self
        return Policy(**{name: getattr(self if name in own else defaults, name) for name in own | others})

    def schedule_context(self, *, anchor: datetime, zone: str) -> ScheduleContext:
        """Return the schedule context that results from this policy.

        Args:
            anchor: the instant from which intervals are counted.
            zone: the time zone of the workspace, which applies unless the policy sets one.
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
        """Return the values that were set, or differ from the defaults, as plain JSON data; `from_dict` reverses it."""
        names = self.given | _non_default_values(self).keys()
        return {f.name: _to_json(getattr(self, f.name)) for f in fields(self) if f.name in names}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Policy:
        """Return the policy that `to_dict` stored. Unknown keys, as a newer version may write, are ignored."""
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        if "retry" in values:
            values["retry"] = Retry(**{f.name: data["retry"][f.name] for f in fields(Retry) if f.name in data["retry"]})
        return cls(**values)

    def describe(self) -> str:
        """Return the policy in plain English: overlap and catch-up, then every value that differs from its default."""
        retry = self.retry.describe()
        parts = [
            f"overlap: {self._describe_overlap()}",
            f"catch-up: {self._describe_catch_up()}",
            f"timeout: {format_duration(self.timeout)}" if self.timeout is not None else "",
            f"retry: {retry}" if retry else "",
            f"stop grace: {format_duration(self.stop_grace)}" if self.stop_grace != 10.0 else "",
            f"leave: {self.leave}" if self.leave is not Leave.NOTHING else "",
            f"jitter: {format_duration(self.jitter)}" if self.jitter else "",
            f"hold after {self.hold_after} failure{'s' if self.hold_after > 1 else ''}" if self.hold_after else "",
            f"not before {format_moment(self.not_before)}" if isinstance(self.not_before, datetime) else "",
            f"until {format_moment(self.until)}" if isinstance(self.until, datetime) else "",
            f"DST gap: {self.dst_gap}" if self.dst_gap else "",
            f"DST fold: {self.dst_fold}" if self.dst_fold else "",
            f"in {self.tz}" if self.tz else "",
        ]
        return " · ".join(part for part in parts if part)

    def _describe_overlap(self) -> str:
        if self.overlap is Overlap.QUEUE:
            return f"queue (up to {self.queue})"
        if self.overlap is Overlap.ALLOW:
            return f"allow (up to {self.max_parallel} at once)" if self.max_parallel is not None else "allow"
        return str(self.overlap)

    def _describe_catch_up(self) -> str:
        window = self.catch_up_window
        within = f"within {format_duration(window)}" if window is not None else ""
        limits = [
            f"up to {self.catch_up_cap}" if self.catch_up is CatchUp.ALL else "",
            within,
        ]
        limit = ", ".join(filter(None, limits))
        return f"{self.catch_up} ({limit})" if limit else str(self.catch_up)


def _non_default_values(record: Policy | Retry) -> dict[str, Any]:
    """Return the values that differ from their defaults."""
    default = type(record)()
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def _to_json(value: Any) -> Any:
    if isinstance(value, Retry):
        return _non_default_values(value)
    if isinstance(value, StrEnum):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _instant(moment: datetime | str | None, zone: str) -> datetime | None:
    if moment is None:
        return None
    assert isinstance(moment, datetime), "text was parsed when the policy was created"
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    from zoneinfo import ZoneInfo

    from keiji.schedule.walltime import instant_of

    return instant_of(moment, ZoneInfo(zone))
