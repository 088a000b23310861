"""What is on the screen of one log. It follows the end until its reader scrolls up, and then stays where they read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, tzinfo
from math import ceil
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip

from keiji_tui.actions.action import Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.logs.buffer import LogBuffer
from keiji_tui.logs.chunk import Line
from keiji_tui.logs.layout import Row, rows_before, rows_from
from keiji_tui.logs.line import NARROW, Times, head, message, plain_message
from keiji_tui.logs.paint import TASKS, name_width, row_segments
from keiji_tui.logs.reader import LogReader
from keiji_tui.logs.scrollbar import BAR, LogScrollbar
from keiji_tui.logs.search import NO_NAMES

Spans = list[tuple[int, int]]
_MOST_SPANS = 4_000


class LogView(LogScrollbar, can_focus=True):
    """The rows of a log around one place in it, which is kept by its position in the file.

    Args:
        wanted: told what somebody wants of the log that is not done by scrolling.
    """

    BINDINGS = bindings(Scope.LOG)
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--time", "log--text", "log--error", "log--warning", "log--keiji", "log--note", "log--match", "log--here",
        "log--bar", "log--mark", *TASKS,
    }  # fmt: skip
    DEFAULT_CSS = """
    LogView { height: 1fr; }
    LogView > .log--time { color: $text-muted; }
    LogView > .log--error { color: $text-error; }
    LogView > .log--warning { color: $text-warning; }
    LogView > .log--keiji { color: $text-accent; }
    LogView > .log--note { color: $text-muted; text-style: italic; }
    LogView > .log--match { color: $text-warning; text-style: bold reverse; }
    LogView > .log--here { background: $row-focused; }
    LogView > .log--mark { color: $text-accent; }
    LogView > .log--task-1 { color: $text-primary; }
    LogView > .log--task-2 { color: $text-success; }
    LogView > .log--task-3 { color: $text-warning; }
    LogView > .log--task-4 { color: $text-accent; }
    LogView > .log--task-5 { color: $text-secondary; }
    LogView > .log--task-6 { color: $foreground; }
    LogView > .log--bar { background: $scrollbar; }
    """

    class Changed(Message):
        """What is on the screen is something else, or somebody reads elsewhere."""

    def __init__(self, reader: LogReader, wanted: Callable[[str], None], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._reader = reader
        self._wanted = wanted
        self.here: int | None = None  # the line that was looked for
        self.spans: dict[str, Spans] | None = None  # by line: where what is looked for is in it
        self.is_wrapped = False
        self.times = Times.CLOCK
        self.land_at = 0.0  # how far down the screen the line comes to stand that is gone to
        self._anchor: tuple[int, int] = (0, 0)  # the position of the first line, and which of its rows is the first
        self._rows: list[tuple[Line, int]] = []  # on the screen, of which line, and which of its rows
        self.lines_shown: list[Line] = []  # the lines of these, the first one perhaps from its middle on
        self._base: Style | None = None
        self.pan = 0
        self._zone: tzinfo | None = None
        self._today: date | None = None
        self.marks: set[int] = set()  # where the lines end under which somebody drew one
        self.names: Mapping[str, str] = NO_NAMES  # slug → name, where there are several tasks

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
        self.here, self.spans, self._anchor, self.pan = None, None, (0, 0), 0
        self.marks.clear()
        self.refill()

    def at(self, zone: tzinfo, today: date) -> None:
        """Show times in ``zone``, and the date of those lines that are not of ``today``."""
        if (zone, today) != (self._zone, self._today):
            self._zone, self._today = zone, today
            self.refresh()

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
    def seen(self) -> tuple[int, int]:
        return (self.top, self.bottom) if self._rows else (0, 0)

    @property
    def is_here_visible(self) -> bool:
        return self.here is not None and any(line.position == self.here for line in self.lines_shown)

    def refill(self, heading: int = 0) -> None:
        """Take in what the reader has, and paint it."""
        landed, self._reader.landed = self._reader.landed, None
        if landed is not None and len(self.buffer):
            self._land(self.buffer.index(landed))
        self._rows = [(self.buffer[index], row) for index, row in self._lay_out()]
        self.lines_shown = lines = list(dict.fromkeys(line for line, _ in self._rows))
        if lines or heading:
            first, last = (lines[0].position, lines[-1].position) if lines else (self.top, self.bottom)
            self._reader.look(first, last, heading)
        self.refresh()
        self.post_message(self.Changed())

    def _land(self, index: int) -> None:
        """Have a line on the screen; one that is looked for and is on it already stays where it is."""
        position = self.buffer[index].position
        if position != self.here or all(line.position != position for line in self.lines_shown[1:-1]):
            above = self._rows_before(index, 0, int(self.size.height * self.land_at))
            index, row = above[0] if above else (index, 0)
            self._anchor = (self.buffer[index].position, row)

    def _lay_out(self) -> list[Row]:
        """Return what is to be on the screen."""
        buffer, height = self.buffer, self.size.height
        if not len(buffer) or not height:
            return []
        if self.following:
            return self._rows_before(len(buffer), 0, height)
        rows = self._rows_from(*self._place(), height)
        if len(rows) < height and buffer.is_at_end:
            rows = self._rows_before(len(buffer), 0, height)
            index, row = rows[0]
            self._anchor = (buffer[index].position, row)
        return rows

    def _place(self) -> Row:
        """Return where in what is loaded the anchor is."""
        index = self.buffer.index(self._anchor[0])
        return index, min(self._anchor[1], self._height(index) - 1)

    def _hold(self) -> None:
        """Stay at the row that is the first one now."""
        if self._rows:
            line, row = self._rows[0]
            self._anchor = (line.position, row)

    def _rows_from(self, index: int, row: int, count: int) -> list[Row]:
        return rows_from(index, row, count, len(self.buffer), self._height)

    def _rows_before(self, index: int, row: int, count: int) -> list[Row]:
        return rows_before(index, row, count, self._height)

    def _height(self, index: int) -> int:
        line = self.buffer[index]
        return self._text_height(line) + (line.end in self.marks)

    def _text_height(self, line: Line) -> int:
        return max(1, ceil(message(line).cell_len / self.room(line))) if self.is_wrapped else 1

    def is_mark(self, line: Line, row: int) -> bool:
        """Return whether a row is not of the line itself, but what somebody drew under it."""
        return line.end in self.marks and row == self._text_height(line)

    def room(self, line: Line) -> int:
        """Return how many cells there are for a message."""
        return max(8, self.size.width - BAR - self.indent(line))

    def indent(self, line: Line) -> int:
        """Return how many cells stand before a message."""
        return len(self.head(line)) + name_width(self) + 2

    def words(self, line: Line) -> str:
        """Return a line as it is copied: its message, and the task where there are several."""
        name = self.names.get(line.task, "")
        return f"{name}: {plain_message(line)}" if name else plain_message(line)

    # ── keys and mouse ───────────────────────────────────────────────────────────────────────────────────────────────

    def action_pane(self, what: str) -> None:
        """Tell the pane around this of its key, at once: it may open a line for the very next one."""
        self._wanted(what)

    def action_follow(self) -> None:
        """Go to the end and stay there."""
        self._reader.follow()
        self.refill()

    def action_to_top(self) -> None:
        """Go to the oldest line that is kept."""
        self.go_to_top_at(0)

    def go_to_top_at(self, position: int) -> None:
        self.land_at = 0.0
        self.go_to(position)

    def go_to(self, position: int) -> None:
        """Go to a place in the file; it comes into view when it was read."""
        if self.following:
            self._hold()
        self._reader.go_to(position)
        self.refill()

    def action_lines(self, count: int) -> None:
        """Scroll by so many rows."""
        self._hold()
        if not len(self.buffer):
            return
        index, row = self._place()
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
        self.pan = max(0, self.pan + cells)
        self.refresh()

    def show_cells(self, line: Line, begin: int, end: int) -> None:
        """Have some cells of a message on the screen, however far right they are."""
        room = self.room(line) - 1
        if not self.is_wrapped and (begin < self.pan or end > self.pan + room):
            self.pan = 0 if end <= room else max(0, min(begin, end - room * 2 // 3))
            self.refresh()

    def action_wrap(self) -> None:
        """Show long lines on several rows, or cut off."""
        self._hold()
        self.is_wrapped, self.pan = not self.is_wrapped, 0
        self.refill()

    def action_times(self) -> None:
        """Show times, with the date, or not at all."""
        self._hold()
        self.times = self.times.next
        self.refill()

    def action_mark(self) -> None:
        """Draw a line under the last one on the screen, or take that away."""
        if self.lines_shown:
            self.marks ^= {int(self.lines_shown[-1].end)}
            self._hold()
            self.refill()

    def action_to_mark(self) -> None:
        """Go to the nearest mark above the screen, or else to the newest one."""
        above = [mark for mark in self.marks if mark <= self.top]
        if self.marks:
            self.land_at = 0.5
            self.go_to(max(above or self.marks) - 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_lines(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_lines(3)

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
        width = max(0, self.size.width - BAR)
        base = self._base = self._base or self.rich_style
        segments = row_segments(self, *self._rows[y], width, base) if y < len(self._rows) else [Segment("", base)]
        return Strip.join([Strip(segments).adjust_cell_length(width, base), self.bar(y, base)])

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._base = None

    def head(self, line: Line) -> str:
        """Return what stands before the mark of a line."""
        return head(line, self.times, self._zone, self._today, is_narrow=self.size.width < NARROW)

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
