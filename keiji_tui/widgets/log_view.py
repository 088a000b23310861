"""The newest lines of one log. It follows the end until its reader scrolls up, and then stays where they read."""

from __future__ import annotations

from datetime import date, tzinfo
from functools import lru_cache
from typing import ClassVar

from rich.ansi import AnsiDecoder
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from keiji_tui.keymap import Place
from keiji_tui.logs.buffer import LogBuffer
from keiji_tui.logs.logfmt import LogLine, parse
from keiji_tui.logs.sanitise import coloured
from keiji_tui.widgets.bindings import bindings

_NARROW = 60


class LogView(ScrollView, can_focus=True):
    """A log, a line of it on each line of the screen, with the time, a mark for what matters, and the message."""

    BINDINGS = bindings(Place.LOG)
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--time", "log--text", "log--error", "log--warning", "log--keiji"}
    DEFAULT_CSS = """
    LogView { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
    LogView > .log--time { color: $text-disabled; }
    LogView > .log--error { color: $text-error; }
    LogView > .log--warning { color: $text-warning; }
    LogView > .log--keiji { color: $text-accent; }
    """

    class Changed(Message):
        """Following began or ended, or lines came that the reader does not see."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.buffer = LogBuffer()
        self.following = True
        self.unseen = 0
        self._pan = 0
        self._zone: tzinfo | None = None
        self._today: date | None = None

    # ── what is in it ────────────────────────────────────────────────────────────────────────────────────────────────

    def clear(self) -> None:
        """Empty it, as for another task's log, and follow."""
        self.buffer.clear()
        self.unseen, self._pan, self.following = 0, 0, True
        self._grown(0)

    def add(self, position: int, end: int, text: str) -> None:
        """Take in text that lies from ``position`` to ``end`` of the log."""
        dropped = self.buffer.dropped
        count = self.buffer.add(position, end, text)
        if count:
            self.unseen = 0 if self.following else self.unseen + count
            self._grown(self.buffer.dropped - dropped)

    def at(self, zone: tzinfo, today: date) -> None:
        """Show times in ``zone``, and the date of those lines that are not of ``today``."""
        if (zone, today) != (self._zone, self._today):
            self._zone, self._today = zone, today
            self.refresh()

    def _grown(self, dropped: int) -> None:
        was_following, reading = self.following, self.scroll_offset.y
        self.virtual_size = Size(self.size.width, len(self.buffer))
        if was_following:
            self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True, force=True)
        elif dropped:
            self.scroll_to(y=max(0, reading - dropped), animate=False, immediate=True, force=True)
        self.following = was_following
        self.refresh()
        self.post_message(self.Changed())

    # ── keys and mouse ───────────────────────────────────────────────────────────────────────────────────────────────

    def action_follow(self) -> None:
        """Go to the end and stay there."""
        self.following, self.unseen = True, 0
        self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True, force=True)
        self.post_message(self.Changed())

    def action_to_top(self) -> None:
        """Go to the oldest line that is kept."""
        self._read_from(0)

    def action_lines(self, count: int) -> None:
        """Scroll by so many lines."""
        self._read_from(self.scroll_offset.y + count)

    def action_half(self, direction: int) -> None:
        """Scroll by half a page."""
        self._read_from(self.scroll_offset.y + direction * max(1, self.size.height // 2))

    def action_pan(self, cells: int) -> None:
        """Show what is further to the right, or to the left."""
        self._pan = max(0, self._pan + cells)
        self.refresh()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_lines(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_lines(3)

    def _read_from(self, line: int) -> None:
        target = min(max(line, 0), self.max_scroll_y)
        self.following = target >= self.max_scroll_y
        if self.following:
            self.unseen = 0
        self.scroll_to(y=target, animate=False, immediate=True, force=True)
        self.post_message(self.Changed())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self.following and round(new_value) < self.max_scroll_y and new_value < old_value:
            self.following = False  # the scroll bar was dragged
            self.post_message(self.Changed())

    def on_resize(self) -> None:
        self._grown(0)

    # ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        index = self.scroll_offset.y + y
        base = self.rich_style
        if index >= len(self.buffer):
            return Strip.blank(width, base)
        line = _parsed(self.buffer[index])
        head = [Segment(f" {self._time(line)} ", base + self._style("time")), *self._mark(line, base)]
        text = Strip(_segments(line, base + self._style(_kind(line))))
        room = max(0, width - sum(segment.cell_length for segment in head))
        shown = text.crop(self._pan, self._pan + room)
        if text.cell_length > self._pan + room > 0:
            shown = Strip.join([text.crop(self._pan, self._pan + room - 1), Strip([Segment("›", base)])])
        return Strip.join([Strip(head), shown]).adjust_cell_length(width, base)

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"log--{name}", partial=True)

    def _mark(self, line: LogLine, base: Style) -> list[Segment]:
        kind = _kind(line)
        return [Segment(f"{_MARKS[kind]} ", base + self._style(kind))]

    def _time(self, line: LogLine) -> str:
        is_narrow = self.size.width < _NARROW
        if line.moment is None:
            return " " * (8 if is_narrow else 12)
        local = line.moment.astimezone(self._zone)
        text = f"{local:%H:%M:%S}" if is_narrow else f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"
        return text if self._today in (None, local.date()) else f"{local.day} {local:%b} {text}"


_MARKS = {"error": "✗", "warning": "!", "keiji": "•", "text": " "}


def _kind(line: LogLine) -> str:
    if line.is_error:
        return "error"
    if line.is_warning:
        return "warning"
    return "keiji" if line.is_life_cycle else "text"


@lru_cache(maxsize=512)
def _parsed(raw: str) -> LogLine:
    return parse(raw)


def _segments(line: LogLine, base: Style) -> list[Segment]:
    text = _decoded(line.message)
    parts: list[Segment] = []
    position = 0
    for span in sorted(text.spans, key=lambda span: span.start):
        parts.append(Segment(text.plain[position : span.start], base))
        style = span.style if isinstance(span.style, Style) else Style.parse(span.style)
        parts.append(Segment(text.plain[span.start : span.end], base + style))
        position = span.end
    parts.append(Segment(text.plain[position:], base))
    return [part for part in parts if part.text]


@lru_cache(maxsize=512)
def _decoded(message: str) -> Text:
    return AnsiDecoder().decode_line(coloured(message))
