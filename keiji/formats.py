"""Durations and moments as text: one format each, for all messages, tables and logs."""

from __future__ import annotations

from datetime import datetime, tzinfo

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def format_duration(seconds: float, *, decimals: int = 3) -> str:
    """Return a duration in its two largest units: "0.25 s", "2 min 11 s", "3 h 5 min", "366 d".

    A negative duration, as after a clock was set, is "0 s".

    Args:
        decimals: maximum number of decimals below a minute.
    """
    seconds = max(seconds, 0.0)
    if decimals:
        seconds = round(seconds, decimals)
    if decimals and seconds < 60:
        text = f"{seconds:.{decimals}f}"
        return f"{text.rstrip('0').rstrip('.')} s"
    rest = int(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        value, rest = divmod(rest, size)
        if value:
            parts.append(f"{value} {unit}")
        elif parts:
            break  # "1 d 5 s" would be more exact than the reader needs
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


def format_moment(moment: datetime, zone: tzinfo) -> str:
    """Return a moment as text, in ``zone``: "2026-11-24 10:00:00 EAT"."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
