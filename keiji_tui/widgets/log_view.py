"""What is on the screen of one log. It follows the end until its reader scrolls up, and then stays where they read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, tzinfo
from math import ceil
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from keiji_tui.keymap import Place
from keiji_tui.logs.buffer import LogBuffer
from keiji_tui.logs.lines import Line
from keiji_tui.logs.reader import LogReader
from keiji_tui.widgets.bindings import bindings
from keiji_tui.widgets.log_layout import Row, rows_before, rows_from, thumb
from keiji_tui.widgets.log_line import MARKS, NARROW, Times, head, kind, message, plain_message

Spans = list[tuple[int, int]]
_BAR = 1  # cells of the scroll bar
_MOST_SPANS = 4_000


class LogView(Widget, can_focus=True):
    """The rows of a log around one place in it, which is kept by its position in the file."""

    BINDINGS = bindings(Place.LOG)
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--time", "log--text", "log--error", "log--warning", "log--keiji", "log--note", "log--match", "log--here",
        "log--bar",
    }  # fmt: skip
    DEFAULT_CSS = """
    LogView { height: 1fr; }
    LogView > .log--time { color: $text-disabled; }
    LogView > .log--error { color: $text-error; }
    LogView > .log--warning { color: $text-warning; }
    LogView > .log--keiji { color: $text-accent; }
    LogView > .log--note { color: $text-muted; text-style: italic; }
    LogView > .log--match { color: $warning; text-style: bold reverse; }
    LogView > .log--here { background: $row-focused; }
    LogView > .log--bar { background: $scrollbar; }
    """

    class Changed(Message):
        """What is on the screen is something else, or somebody reads elsewhere."""

    class Wanted(Message):
        """Somebody pressed the key of what the pane around this does."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    def __init__(self, reader: LogReader, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._reader = reader
        self.here: int | None = None  # the line that was looked for
        self.spans: dict[str, Spans] | None = None  # by line: where what is looked for is in it
        self.is_wrapped = False
        self.times = Times.CLOCK
        self.land_at = 0.0  # how far down the screen the line comes to stand that is gone to
        self._anchor: tuple[int, int] = (0, 0)  # the position of the first line, and which of its rows is the first
        self._rows: list[Row] = []
        self._inner: frozenset[int] = frozenset()  # the positions of the lines on the screen, without first and last
        self._pan = 0
        self._zone: tzinfo | None = None
        self._today: date | None = None
        self._is_dragged = False

    @property
    def buffer(self) -> LogBuffer:
        return self._reader.buffer

    @property
    def following(self) -> bool:
        return self._reader.following

    @property
    def unseen(self) -> int:
        return self._reader.unseen

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def start_over(self) -> None:
        """Be ready for another log."""
        self.here, self.spans, self._anchor, self._pan = None, None, (0, 0), 0
        self.refill()

    def at(self, zone: tzinfo, today: date) -> None:
        """Show times in ``zone``, and the date of those lines that are not of ``today``."""
        if (zone, today) != (self._zone, self._today):
            self._zone, self._today = zone, today
            self.refresh()

    @property
    def lines_shown(self) -> list[Line]:
        """The lines on the screen, the first one perhaps from its middle on."""
        indexes = dict.fromkeys(index for index, _ in self._rows)
        return [self.buffer[index] for index in indexes if index < len(self.buffer)]

    @property
    def top(self) -> int:
        """The position of the first line on the screen."""
        lines = self.lines_shown
        return lines[0].position if lines else self.buffer.begin or 0

    @property
    def bottom(self) -> int:
        """The position behind the last line on the screen."""
        lines = self.lines_shown
        return lines[-1].end if lines else self.buffer.end or 0

    @property
    def is_here_visible(self) -> bool:
        return self.here is not None and any(line.position == self.here for line in self.lines_shown)

    def refill(self, heading: int = 0) -> None:
        """Take in what the reader has, and paint it."""
        landed, self._reader.landed = self._reader.landed, None
        if landed is not None and len(self.buffer):
            self._land(self.buffer.index(landed))
        self._lay_out()
        lines = self.lines_shown
        self._inner = frozenset(line.position for line in lines[1:-1])
        if lines or heading:
            first, last = (lines[0].position, lines[-1].position) if lines else (self.top, self.bottom)
            self._reader.look(first, last, heading)
        self.refresh()
        self.post_message(self.Changed())

    def _land(self, index: int) -> None:
        """Have a line on the screen; one that is looked for and is on it already stays where it is."""
        position = self.buffer[index].position
        if position != self.here or position not in self._inner:
            above = self._rows_before(index, 0, int(self.size.height * self.land_at))
            index, row = above[0] if above else (index, 0)
            self._anchor = (self.buffer[index].position, row)

    def _lay_out(self) -> None:
        buffer, height = self.buffer, self.size.height
        if not len(buffer) or not height:
            self._rows = []
            return
        if self.following:
            self._rows = self._rows_before(len(buffer), 0, height)
            return
        index = buffer.index(self._anchor[0])
        row = min(self._anchor[1], self._height(index) - 1)
        self._rows = self._rows_from(index, row, height)
        if len(self._rows) < height and buffer.is_at_end:
            self._rows = self._rows_before(len(buffer), 0, height)
            self._hold()

    def _hold(self) -> None:
        """Stay at the row that is the first one now."""
        if self._rows:
            index, row = self._rows[0]
            self._anchor = (self.buffer[index].position, row)

    def _rows_from(self, index: int, row: int, count: int) -> list[Row]:
        return rows_from(index, row, count, len(self.buffer), self._height)

    def _rows_before(self, index: int, row: int, count: int) -> list[Row]:
        return rows_before(index, row, count, self._height)

    def _height(self, index: int) -> int:
        if not self.is_wrapped:
            return 1
        line = self.buffer[index]
        return max(1, ceil(message(line).cell_len / self._room(line)))

    def _room(self, line: Line) -> int:
        """Return how many cells there are for a message."""
        return max(8, self.size.width - _BAR - len(self._head(line)) - 2)

    # ── keys and mouse ───────────────────────────────────────────────────────────────────────────────────────────────

    def action_pane(self, what: str) -> None:
        """Tell the pane around this of its key."""
        self.post_message(self.Wanted(what))

    def action_follow(self) -> None:
        """Go to the end and stay there."""
        self._reader.follow()
        self.refill()

    def action_to_top(self) -> None:
        """Go to the oldest line that is kept."""
        self.land_at = 0.0
        self.go_to(0)

    def go_to(self, position: int) -> None:
        """Go to a place in the file; it comes into view when it was read."""
        if self.following:
            self._hold()
        self._reader.go_to(position)
        self.refill()

    def action_lines(self, count: int) -> None:
        """Scroll by so many rows."""
        if not self._rows:
            return
        index, row = self._rows[0]
        if count < 0:
            before = self._rows_before(index, row, -count)
            target = before[0] if before else (index, row)
            self._reader.following = False
        else:
            rows = self._rows_from(index, row, count + self.size.height)
            if len(rows) < count + self.size.height and self.buffer.is_at_end:
                if not self.following:
                    self.action_follow()
                return
            target = rows[min(count, len(rows) - 1)]
        self._anchor = (self.buffer[target[0]].position, target[1])
        self.refill(1 if count > 0 else -1)

    def action_half(self, direction: int) -> None:
        """Scroll by half a page."""
        self.action_lines(direction * max(1, self.size.height // 2))

    def action_pan(self, cells: int) -> None:
        """Show what is further to the right, or to the left."""
        self._pan = max(0, self._pan + cells)
        self.refresh()

    def action_wrap(self) -> None:
        """Show long lines on several rows, or cut off."""
        self._hold()
        self.is_wrapped, self._pan = not self.is_wrapped, 0
        self.refill()

    def action_times(self) -> None:
        """Show times, with the date, or not at all."""
        self._hold()
        self.times = self.times.next
        self.refill()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_lines(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_lines(3)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if event.x >= self.size.width - _BAR:
            event.stop()
            self._is_dragged = True
            self.capture_mouse()
            self._drag_to(event.y)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._is_dragged:
            event.stop()
            self._drag_to(event.y)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._is_dragged:
            event.stop()
            self._is_dragged = False
            self.release_mouse()

    def _drag_to(self, y: int) -> None:
        height, buffer = max(2, self.size.height), self.buffer
        oldest = buffer.oldest or 0
        if y >= height - 1:
            self.action_follow()
        else:
            self.land_at = 0.0
            self.go_to(oldest + (buffer.size - oldest) * max(0, y) // (height - 1))

    def on_resize(self) -> None:
        self.refill()

    def on_show(self) -> None:
        # What came while it was hidden was laid out for the room that it had then.
        self.refill()

    # ── copying ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        parts = []
        for line in self.buffer:
            span = selection.get_span(line.position)
            if span is not None:
                text = plain_message(line)
                parts.append(text[span[0] : None if span[1] < 0 else span[1]])
        return "\n".join(parts), "\n"

    # ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def render_line(self, y: int) -> Strip:
        width = max(0, self.size.width - _BAR)
        base = self.rich_style
        if y < len(self._rows) and self._rows[y][0] < len(self.buffer):
            strip = self._row_strip(*self._rows[y], width, base)
        else:
            strip = Strip.blank(width, base)
        return Strip.join([strip.adjust_cell_length(width, base), self._bar(y, base)])

    def _row_strip(self, index: int, row: int, width: int, base: Style) -> Strip:
        line = self.buffer[index]
        name = kind(line)
        if line.position == self.here:
            base += self._style("here")
        before = self._head(line)
        style = base + self._style(name)
        if row:
            segments = [Segment(" " * (len(before) + 2), base)]
        else:
            segments = [Segment(before, base + self._style("time")), Segment(f"{MARKS[name]} ", style)]
        room = max(0, width - len(before) - 2)
        begin = row * self._room(line) if self.is_wrapped else self._pan
        whole = self._message(line, style)
        shown = whole.crop(begin, begin + room)
        if not self.is_wrapped and whole.cell_length > begin + room > 0:
            shown = Strip.join([whole.crop(begin, begin + room - 1), Strip([Segment("›", base)])])
        offset = len(whole.crop(0, begin).text) if begin else 0
        joined = Strip.join([Strip(segments), shown.apply_offsets(offset, line.position)])
        return joined.extend_cell_length(width, base)

    def _message(self, line: Line, style: Style) -> Strip:
        text = message(line)
        spans = self.spans.get(line.raw, []) if self.spans else []
        selection = self.text_selection
        span = selection.get_span(line.position) if selection is not None else None
        if spans or span:
            text = text.copy()
            for begin, end in spans:
                text.stylize(self._style("match"), begin, end)
            if span:
                chosen = self.screen.get_component_rich_style("screen--selection")
                text.stylize(chosen, span[0], len(text) if span[1] < 0 else span[1])
        text.end = ""
        return Strip(Segment.apply_style(text.render(self.app.console), style))

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"log--{name}", partial=True)

    def _head(self, line: Line) -> str:
        return head(line, self.times, self._zone, self._today, is_narrow=self.size.width < NARROW)

    def _bar(self, y: int, base: Style) -> Strip:
        buffer = self.buffer
        if not self._rows or (buffer.oldest is None and not self.following):
            return Strip.blank(_BAR, base)
        oldest = (buffer.begin or 0) if buffer.oldest is None else buffer.oldest
        bottom = buffer.size if self.following else self.bottom
        is_thumb = y in thumb(self.top, bottom, oldest, buffer.size, self.size.height)
        return Strip.blank(_BAR, base + self._style("bar") if is_thumb else base)

    # ── what is looked for ───────────────────────────────────────────────────────────────────────────────────────────

    def mark(self, spans: dict[str, Spans] | None) -> None:
        """Highlight nothing (None), or what is known to match."""
        self.spans = spans
        self.refresh()

    def unmarked(self) -> Iterator[str]:
        """Yield the lines on the screen of which is not known where they match."""
        if self.spans is not None:
            if len(self.spans) > _MOST_SPANS:
                self.spans.clear()
            yield from (line.raw for line in self.lines_shown if line.raw not in self.spans and not line.is_note)
