"""How one line of a log is displayed: its time, a symbol for its kind, and its message in the colours of the task."""

from __future__ import annotations

from datetime import date, tzinfo
from enum import Enum
from functools import lru_cache

from rich.ansi import AnsiDecoder
from rich.text import Text

from keiji_tui.logs.chunk import MAX_LINE_CHARS, Line
from keiji_tui.logs.display import display
from keiji_tui.logs.logfmt import LogLine, parse

_CACHED_LINES = 256  # more than a screen has rows; each may have thousands of characters
NARROW = 59  # columns below which times have no milliseconds
SYMBOLS = {"error": "✗", "warning": "!", "keiji": "•", "text": " ", "note": " "}


class TimeFormat(Enum):
    """How much of the time of a line is shown."""

    CLOCK = "time"
    FULL = "date and time"
    NONE = "no times"

    @property
    def next(self) -> TimeFormat:
        formats = list(TimeFormat)
        return formats[(formats.index(self) + 1) % len(formats)]


def line_kind(line: Line) -> str:
    """Return the kind of a line, which decides its symbol and its colour: a key of `SYMBOLS`."""
    if line.is_note:
        return "note"
    parsed = parse_line(line.raw)
    if parsed.is_error:
        return "error"
    if parsed.is_warning:
        return "warning"
    return "keiji" if parsed.is_life_cycle else "text"


def time_prefix(
    line: Line, time_format: TimeFormat, zone: tzinfo | None, today: date | None, *, is_narrow: bool
) -> str:
    """Return the time that precedes the symbol; all lines of ``today`` have the same width."""
    if time_format is TimeFormat.NONE:
        return " "
    moment = None if line.is_note else parse_line(line.raw).moment
    width = {TimeFormat.CLOCK: 8 if is_narrow else 12, TimeFormat.FULL: 19 if is_narrow else 23}[time_format]
    if moment is None:
        return " " * (width + 2)
    local = moment.astimezone(zone)
    text = f"{local:%H:%M:%S}" if is_narrow else f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"
    if time_format is TimeFormat.FULL:
        text = f"{local:%Y-%m-%d} {text}"
    elif today is not None and local.date() != today:
        text = f"{local.day} {local:%b} {text}"
    return f" {text} "


def message(line: Line) -> Text:
    """Return the message as text that is safe to display. Do not modify it: it is cached."""
    return Text(line.raw, end="") if line.is_note else _decode(parse_line(line.raw).message, line.dropped)


def plain_message(line: Line) -> str:
    """Return the message without colours, as it is displayed."""
    return message(line).plain


def original_message(line: Line) -> str:
    """Return the message without colours, with the full paths of files in builds."""
    if line.is_note:
        return line.raw
    return AnsiDecoder().decode_line(display(parse_line(line.raw).message, MAX_LINE_CHARS, keep_paths=True)).plain


@lru_cache(maxsize=_CACHED_LINES)
def parse_line(raw: str) -> LogLine:
    """Return the parsed line; cached."""
    return parse(raw)


@lru_cache(maxsize=_CACHED_LINES)
def _decode(text: str, dropped: int) -> Text:
    decoded = AnsiDecoder().decode_line(display(text, dropped=dropped))
    decoded.end = ""
    return decoded
