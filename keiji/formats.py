"""Durations and moments as text: one format each, for all messages, tables and logs."""

from __future__ import annotations

from datetime import datetime, tzinfo

MAX_VALUE = 500  # characters of a value in an error message
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


def quote(value: object) -> str:
    """Return a value that an author wrote, for an error message: its `repr`, shortened; never raises."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - such as a number with more digits than Python prints, or an author's own class
        return f"<a value of type {type(value).__name__} that cannot be shown>"
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


def format_moment(moment: datetime, zone: tzinfo) -> str:
    """Return a moment as text, in ``zone``: "2026-11-24 10:00:00 EAT"."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
