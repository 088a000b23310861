"""Moments, spans and outcomes in the few words that a column holds. Pure: what time it is comes in."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import PurePosixPath
from statistics import median

from keiji.reasons import Code, Reason, render
from keiji.states import RunState
from keiji_engine.bus.views import RecentRun

BARS = "▁▂▃▄▅▆▇█"
FAILED_RUN = "✗"
STOPPED_RUN = "·"
_DAY_AT = re.compile(r"\b((?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)s at (\d\d:\d\d)")
_SHORT_UNITS = {" seconds": " s", " minutes": " min", " hours": " h"}
_UNITS = re.compile("|".join(f"(?<=[0-9]){unit}\\b" for unit in _SHORT_UNITS))
_WAITS: dict[str, str] = {
    Code.WAITING_FOR_SLOT: "slot",
    Code.WAITING_FOR_PREVIOUS: "queue",
    Code.JITTER: "jitter",
    Code.STAGGERED: "catching up",
    Code.PARALLEL_LIMIT: "parallel limit",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def format_clock(moment: datetime, zone: tzinfo) -> str:
    """Return "13:31:57"."""
    return f"{moment.astimezone(zone):%H:%M:%S}"


def format_until(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return when ``moment`` comes: "in 4 s", "in 12 min", "today 22:00", "Fri 22:00", "12 Dec 22:00"."""
    seconds = (moment - now).total_seconds()
    if seconds <= 0:
        return "now"
    if seconds < 90:
        return f"in {max(1, round(seconds))} s"
    if seconds < _HOUR:
        return f"in {round(seconds / _MINUTE)} min"
    return format_calendar(moment, now, zone)


def format_calendar(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return ``moment`` by the calendar, as short as it is clear: "today 22:00", "Fri 22:00", "12 Dec 22:00"."""
    local, today = moment.astimezone(zone), now.astimezone(zone).date()
    if local.date() == today:
        return f"today {local:%H:%M}"
    if abs(local.date() - today) < timedelta(days=7):
        return f"{local:%a %H:%M}"
    if abs(local.date() - today) < timedelta(days=300):
        return f"{local.day} {local:%b %H:%M}"
    return f"{local:%Y-%m-%d}"


def format_since(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return `calendar` without the day where that is today: "10:00", "Fri 22:00"."""
    return format_calendar(moment, now, zone).removeprefix("today ")


def format_age(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return how long ago ``moment`` was: "6 s", "5 min", "3 h", "yesterday", "4 d", "12 Sep"."""
    seconds = max(0.0, (now - moment).total_seconds())
    if seconds < _MINUTE:
        return f"{int(seconds)} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min"
    local, today = moment.astimezone(zone), now.astimezone(zone).date()
    if local.date() == today or seconds < 12 * _HOUR:
        return f"{int(seconds // _HOUR)} h"
    days = (today - local.date()).days
    if days == 1:
        return "yesterday"
    return f"{days} d" if days < 60 else f"{local.day} {local:%b}" if days < 300 else f"{local:%Y-%m-%d}"


def format_ago(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return `span` as an adverb: "6 s ago", "yesterday"."""
    text = format_age(moment, now, zone)
    return f"{text} ago" if text[0].isdigit() and text.endswith((" s", " min", " h", " d")) else text


def format_duration(seconds: float) -> str:
    """Return a duration: "0.21 s", "3.4 s", "12 s", "2m 11s", "48 m", "3h 05m"."""
    if seconds < 0.995:
        return f"{max(seconds, 0):.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < 10 * _MINUTE:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} m"
    if whole < 100 * _HOUR:
        return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY} d"


def format_elapsed(seconds: float) -> str:
    """Return how long something has been going on, in whole seconds: "8 s", "2m 11s", "3h 05m"."""
    whole = int(max(seconds, 0))
    return f"{whole} s" if whole < _MINUTE else format_duration(whole)


def format_outcome(state: RunState, exit_code: int | None, number: int | None) -> str:
    """Return how a run ended: "ok", "exit 2", "SIGKILL", "timed out", "stopped", "lost"."""
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
    """Return in a word or two what a queued run waits for: "slot", "jitter"."""
    if reason is None:
        return ""
    last = reason.cause or reason  # what comes first is that it was caught up
    return _WAITS.get(last.code) or render(last)


def format_last_run(run: RecentRun, now: datetime, zone: tzinfo) -> str:
    """Return how and when a run ended: "ok 6 s ago", "exit 2, 3 h ago"."""
    ended = format_outcome(run.state, run.exit_code, run.signal)
    gap = " " if run.state is RunState.SUCCEEDED else ", "
    return f"{ended}{gap}{format_ago(run.finished_at, now, zone)}"


def sparkline(runs: Sequence[RecentRun]) -> str:
    """Return a letter for each run, oldest first: a bar as high as it was long, ``✗`` for a bad one.

    The median run is a low bar, so that what stands out is what took longer than usual.
    """
    known = [run.seconds for run in runs if run.state is RunState.SUCCEEDED and run.seconds is not None]
    usual = max(median(known), 1e-3) if known else 1.0
    return "".join(_bar(run, usual) for run in runs)


def _bar(run: RecentRun, usual: float) -> str:
    if run.state is RunState.STOPPED:
        return STOPPED_RUN
    if run.state is not RunState.SUCCEEDED:
        return FAILED_RUN
    height = round(2 * (run.seconds or 0.0) / usual)
    return BARS[min(max(height, 1), len(BARS)) - 1]


def abbreviate_schedule(schedule: str) -> str:
    """Return a schedule's words with the abbreviations of a column: "every 10 s", "Fri 22:00"."""
    short = _DAY_AT.sub(lambda match: f"{match[1][:3]} {match[2]}", schedule)
    return _UNITS.sub(lambda match: _SHORT_UNITS[match[0]], short)


def abbreviate_path(path: str, home: str) -> str:
    """Return a path as a person says it: ``~`` for their home."""
    whole = PurePosixPath(path)
    return f"~/{whole.relative_to(home)}".removesuffix("/.") if home and whole.is_relative_to(home) else path


def format_names(names: Sequence[str], most: int = 2) -> str:
    """Return "a, b and 3 more"."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def format_count(count: int, noun: str) -> str:
    """Return "1 line", "2 lines"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
