"""Durations and instants as text: one format each, for all messages, tables and logs."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo

MAX_VALUE = 500  # characters of a value in an error message
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_MAX_DAYS_WITH_HOURS = 100
_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?) *{unit} *)?" for unit in _SECONDS), re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def format_duration(seconds: float, *, decimals: int = 3) -> str:
    """Return a duration in its two largest units: "0.25s", "12s", "2m 06s", "3h 05m", "1d 04h", "366d".

    A second unit of zero is omitted, as are hours from 100 days. A negative duration, such as after a clock change, is
    "0s".

    Args:
        decimals: maximum number of decimals below a minute; with 0, fractions of a second are cut off.
    """
    seconds = max(seconds, 0.0)
    if decimals:
        seconds = round(seconds, decimals)
        if seconds < 60:
            return f"{seconds:.{decimals}f}".rstrip("0").rstrip(".") + "s"
    rest = int(seconds)
    for index, (size, unit) in enumerate(_UNITS):
        if rest >= size:
            value, rest = divmod(rest, size)
            is_exact = index + 1 < len(_UNITS) and not (unit == "d" and value >= _MAX_DAYS_WITH_HOURS)
            minor_size, minor_unit = _UNITS[index + 1] if is_exact else (1, "")
            minor = rest // minor_size if is_exact else 0
            return f"{value}{unit} {minor:02}{minor_unit}" if minor else f"{value}{unit}"
    return "0s"


def parse_duration(text: str) -> float:
    """Return the seconds in a duration: "30m", "1h30m", "1.5h", "2d 4h", or a number of seconds: "90".

    Raises:
        ValueError: it is not a duration; the message says what is expected.
    """
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped):
        return float(stripped)
    match = _DURATION.fullmatch(stripped)
    if not stripped or match is None:
        raise ValueError('expected a duration, such as "30m" or "1h30m", or a number of seconds')
    return sum(float(value) * _SECONDS[unit] for unit, value in match.groupdict().items() if value is not None)


def format_measurement(seconds: float) -> str:
    """Return a measured duration with two significant digits below ten seconds: "0.21s", "3.4s", "12s", "2m 06s"."""
    decimals = 2 if seconds < 0.995 else 1 if seconds < 9.95 else 0
    return format_duration(seconds if decimals else round(seconds), decimals=decimals)


def quote(value: object) -> str:
    """Return a value that an author wrote, for an error message: its `repr`, shortened; never raises."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - such as a number with more digits than Python prints, or an author's own class
        return f"<a value of type {type(value).__name__} that cannot be shown>"
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


def zone_of(name: str, otherwise: tzinfo) -> tzinfo:
    """Return a task's own time zone, or ``otherwise`` if it has none ("") or one that this machine does not know."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # deferred: every task imports this module

    try:
        return ZoneInfo(name) if name else otherwise
    except (ZoneInfoNotFoundError, ValueError):
        return otherwise


def format_moment(moment: datetime, zone: tzinfo) -> str:
    """Return an instant in ``zone``: "2026-11-24 10:00:00 EAT"."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
