"""Short forms of instants, durations and outcomes, for columns and single lines.

All functions are pure: the current time is passed in. Durations are in seconds. The long forms, which the command line
and the engine use too, are in `keiji.formats`.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import PurePosixPath
from statistics import median

from keiji.formats import format_duration
from keiji.reasons import Code, Reason, render
from keiji.states import RunState
from keiji_engine.bus.views import RecentRun

BARS = "▁▂▃▄▅▆▇█"
FAILED_RUN = "✗"
STOPPED_RUN = "·"
_DAYS_AT = re.compile(r"\b((?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)s at (\d\d:\d\d)")
_EVERY_DAY_AT = re.compile(r"\bevery day at (\d\d:\d\d)")
_SHORT_UNITS = {" seconds": "s", " minutes": "m", " hours": "h", " days": "d", " weeks": "w"}
_UNITS = re.compile("|".join(f"(?<=[0-9]){unit}\\b" for unit in _SHORT_UNITS))
_WAITS: dict[str, str] = {
    Code.WAITING_FOR_SLOT: "slot",
    Code.WAITING_FOR_PREVIOUS: "queue",
    Code.JITTER: "jitter",
    Code.STAGGERED: "catching up",
    Code.PARALLEL_LIMIT: "parallel limit",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_SECONDS_SHOWN_BELOW = 2 * _MINUTE  # beyond it, a due time is repainted once a minute instead of once a second


# ── instants ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def format_clock(moment: datetime, zone: tzinfo) -> str:
    """Return "13:31:57"."""
    return f"{moment.astimezone(zone):%H:%M:%S}"


def format_calendar(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return "today 22:00", "Fri 22:00" within a week, "12 Dec 22:00" within ten months, otherwise "2027-12-29"."""
    local = moment.astimezone(zone)
    day = _format_day(moment, now, zone)
    return f"{local:%Y-%m-%d}" if _is_far(moment, now, zone) else f"{day or 'today'} {local:%H:%M}"


def format_since(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return `format_calendar` without "today": "10:00", "Fri 22:00"."""
    return format_calendar(moment, now, zone).removeprefix("today ")


def format_day_and_clock(moment: datetime, now: datetime, zone: tzinfo, *, with_zone: bool = False) -> str:
    """Return the time with seconds, after the day unless that is today: "13:31:57", "Fri 13:31:57", "13:31:57 EST"."""
    time = f"{_format_day(moment, now, zone)} {format_clock(moment, zone)}".strip()
    return f"{time} {moment.astimezone(zone):%Z}" if with_zone else time


def format_due_time(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return a time within a week: "22:00", with seconds only if there are any, after the weekday unless today."""
    local = moment.astimezone(zone)
    time = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    return time if local.date() == now.astimezone(zone).date() else f"{local:%a} {time}"


def format_until(moment: datetime, now: datetime, zone: tzinfo, *, with_zone: bool = False) -> str:
    """Return when ``moment`` comes: "in 4s", "in 1m 12s", "in 12m", then as `format_calendar`: "Fri 22:00 EST".

    Args:
        with_zone: whether a time names its zone, since that is not the one of the workspace.
    """
    seconds = (moment - now).total_seconds()
    if seconds <= 0:
        return "now"
    if seconds < _SECONDS_SHOWN_BELOW:
        return f"in {format_duration(max(1, round(seconds)))}"
    if seconds < _HOUR:
        return f"in {format_duration(round(seconds / _MINUTE) * _MINUTE)}"
    time = format_calendar(moment, now, zone)
    return f"{time} {moment.astimezone(zone):%Z}" if with_zone else time


def format_age(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return how long ago ``moment`` was: "6s", "5m", "3h", "yesterday", "4d", "12 Sep"."""
    return _age(moment, now, zone)[0]


def format_ago(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return `format_age` as an adverb: "6s ago", "yesterday"."""
    text, is_duration = _age(moment, now, zone)
    return f"{text} ago" if is_duration else text


def _age(moment: datetime, now: datetime, zone: tzinfo) -> tuple[str, bool]:
    """Return the age of ``moment``, and whether that is a duration rather than a date."""
    seconds = max(0.0, (now - moment).total_seconds())
    local, today = moment.astimezone(zone), now.astimezone(zone).date()
    for unit, limit in ((1, _MINUTE), (_MINUTE, _HOUR), (_HOUR, 12 * _HOUR)):
        if seconds < limit:
            return format_duration(seconds // unit * unit), True
    if local.date() == today:
        return format_duration(seconds // _HOUR * _HOUR), True
    days = (today - local.date()).days
    if days == 1:
        return "yesterday", False
    if days < 60:
        return format_duration(days * _DAY), True
    return (f"{local:%Y-%m-%d}" if _is_far(moment, now, zone) else _format_day(moment, now, zone)), False


def _format_day(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return the day of ``moment`` in the shortest unambiguous form: "" for today, "Fri", "12 Dec", "2027-12-29"."""
    local, today = moment.astimezone(zone), now.astimezone(zone).date()
    if local.date() == today:
        return ""
    if abs(local.date() - today) < timedelta(days=7):
        return f"{local:%a}"
    return f"{local:%Y-%m-%d}" if _is_far(moment, now, zone) else f"{local.day} {local:%b}"


def _is_far(moment: datetime, now: datetime, zone: tzinfo) -> bool:
    """Return whether a day and a month could be taken for those of another year."""
    return abs(moment.astimezone(zone).date() - now.astimezone(zone).date()) >= timedelta(days=300)


# ── durations and outcomes ───────────────────────────────────────────────────────────────────────────────────────────


def format_elapsed(seconds: float) -> str:
    """Return a running duration in whole seconds: "8s", "2m 11s", "3h 05m"."""
    return format_duration(seconds, decimals=0)


def format_outcome(state: RunState, exit_code: int | None, number: int | None) -> str:
    """Return the outcome of a run: "ok", "exit 2", "SIGKILL", "timed out", "stopped", "lost"."""
    if state is RunState.SUCCEEDED:
        return "ok"
    if state is RunState.FAILED and number:
        return signal_name(number)
    if state is RunState.FAILED and exit_code is not None:
        return f"exit {exit_code}"
    return str(state).replace("_", " ")


def signal_name(number: int) -> str:
    """Return "SIGKILL" for 9, "signal 99" for a number without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def format_wait(reason: Reason | None) -> str:
    """Return what a queued run waits for, in a word or two: "slot", "jitter"."""
    if reason is None:
        return ""
    cause = reason.cause or reason  # a caught-up run names its wait as the cause
    return _WAITS.get(cause.code) or render(cause)


def format_last_run(run: RecentRun, now: datetime, zone: tzinfo) -> str:
    """Return the outcome of a run and its age: "ok 6s ago", "exit 2, 3h ago"."""
    ended = format_outcome(run.state, run.exit_code, run.signal)
    gap = " " if run.state is RunState.SUCCEEDED else ", "
    return f"{ended}{gap}{format_ago(run.finished_at, now, zone)}"


def sparkline(runs: Sequence[RecentRun]) -> str:
    """Return one character per run, oldest first: a bar whose height shows the duration, or ``✗`` for a failed run.

    The median is a low bar, so that runs longer than usual stand out.
    """
    durations = [run.seconds for run in runs if run.state is RunState.SUCCEEDED and run.seconds is not None]
    typical = max(median(durations), 1e-3) if durations else 1.0
    return "".join(_bar(run, typical) for run in runs)


def _bar(run: RecentRun, typical: float) -> str:
    if run.state is RunState.STOPPED:
        return STOPPED_RUN
    if run.state is not RunState.SUCCEEDED:
        return FAILED_RUN
    height = round(2 * (run.seconds or 0.0) / typical)
    return BARS[min(max(height, 1), len(BARS)) - 1]


def abbreviate_schedule(schedule: str) -> str:
    """Return the description of a schedule, abbreviated: "every 10s", "daily 22:00", "Fri 22:00"."""
    short = _DAYS_AT.sub(lambda match: f"{match[1][:3]} {match[2]}", schedule)
    short = _EVERY_DAY_AT.sub(r"daily \1", short)
    return _UNITS.sub(lambda match: _SHORT_UNITS[match[0]], short)


def abbreviate_path(path: str, home: str) -> str:
    """Return a path with ``~`` for the user's home."""
    whole = PurePosixPath(path)
    return f"~/{whole.relative_to(home)}".removesuffix("/.") if home and whole.is_relative_to(home) else path


def format_names(names: Sequence[str], limit: int = 2) -> str:
    """Return "a, b and 3 more"."""
    if len(names) <= limit:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"


def format_count(count: int, noun: str) -> str:
    """Return "1 line", "2 lines"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
