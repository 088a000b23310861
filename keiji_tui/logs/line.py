"""One line of a log as it is painted: the time, a mark for what matters, and the message in the colours of the task."""

from __future__ import annotations

from datetime import date, tzinfo
from enum import Enum
from functools import lru_cache

from rich.ansi import AnsiDecoder
from rich.text import Text

from keiji_tui.logs.chunk import Line
from keiji_tui.logs.logfmt import LogLine, parse
from keiji_tui.text.sanitise import sanitise_line

NARROW = 60
MARKS = {"error": "✗", "warning": "!", "keiji": "•", "text": " ", "note": " "}


class Times(Enum):
    """How much of a line's moment is shown."""

    CLOCK = "time"
    FULL = "date and time"
    NONE = "no times"

    @property
    def next(self) -> Times:
        every = list(Times)
        return every[(every.index(self) + 1) % len(every)]


def kind(line: Line) -> str:
    """Return what a line is, which decides its mark and its colour."""
    if line.is_note:
        return "note"
    said = parsed(line.raw)
    if said.is_error:
        return "error"
    if said.is_warning:
        return "warning"
    return "keiji" if said.is_life_cycle else "text"


def head(line: Line, times: Times, zone: tzinfo | None, today: date | None, *, is_narrow: bool) -> str:
    """Return what stands before the mark; as wide for every line of today."""
    if times is Times.NONE:
        return " "
    moment = None if line.is_note else parsed(line.raw).moment
    width = {Times.CLOCK: 8 if is_narrow else 12, Times.FULL: 19 if is_narrow else 23}[times]
    if moment is None:
        return " " * (width + 2)
    local = moment.astimezone(zone)
    text = f"{local:%H:%M:%S}" if is_narrow else f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"
    if times is Times.FULL:
        text = f"{local:%Y-%m-%d} {text}"
    elif today is not None and local.date() != today:
        text = f"{local.day} {local:%b} {text}"
    return f" {text} "


def message(line: Line) -> Text:
    """Return the message, safe to show; not to be changed."""
    return Text(line.raw, end="") if line.is_note else _decoded(parsed(line.raw).message)


def plain_message(line: Line) -> str:
    """Return the message without its colours."""
    return message(line).plain


@lru_cache(maxsize=1024)
def parsed(raw: str) -> LogLine:
    """Return a line of the file, read."""
    return parse(raw)


@lru_cache(maxsize=1024)
def _decoded(text: str) -> Text:
    decoded = AnsiDecoder().decode_line(sanitise_line(text))
    decoded.end = ""
    return decoded
