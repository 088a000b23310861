"""The visible rows of a log. The view follows the end of the log until the user scrolls up; then it stays put."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, tzinfo
from functools import partial
from math import ceil
from typing import ClassVar

from rich.cells import cell_len, get_character_cell_size, set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Region
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from keiji_tui.actions.action import Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.logs.buffer import LogBuffer
from keiji_tui.logs.chunk import Line
from keiji_tui.logs.layout import Row, rows_before, rows_from
from keiji_tui.logs.line import (
    NARROW,
    SYMBOLS,
    TimeFormat,
    line_kind,
    message,
    original_message,
    plain_message,
    time_prefix,
)
from keiji_tui.logs.match_protocol import LineFilter
from keiji_tui.logs.reader import LogReader
from keiji_tui.logs.search import NO_NAMES

Spans = list[tuple[int, int]]
_MAX_LOCATED_LINES = 500
_TASK_CLASSES = tuple(f"log--task-{number}" for number in range(1, 7))  # colours of task names
_NAME_WIDTH, _NARROW_NAME_WIDTH = 16, 9
_MIN_MESSAGE_WIDTH = 8


class LogView(Widget, can_focus=True):
    """The rows of a log around one line, which is identified by its position in the file."""

    BINDINGS = bindings(Scope.LOG)  # those of actions that the view does not have are handled by the pane around it
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--time", "log--text", "log--error", "log--warning", "log--keiji", "log--note", "log--match",
        "log--current", "log--mark", *_TASK_CLASSES,
    }  # fmt: skip
    DEFAULT_CSS = """
    LogView { width: 1fr; height: 1fr; }
    LogView > .log--time { color: $text-muted; }
    LogView > .log--error { color: $text-error; }
    LogView > .log--warning { color: $text-warning; }
    LogView > .log--keiji { color: $text-accent; }
    LogView > .log--note { color: $text-muted; text-style: italic; }
    LogView > .log--match { color: $text-warning; text-style: bold reverse; }
    LogView > .log--current { background: $row-focused; }
    LogView > .log--mark { color: $text-accent; }
    LogView > .log--task-1 { color: $text-primary; }
    LogView > .log--task-2 { color: $text-success; }
    LogView > .log--task-3 { color: $text-warning; }
    LogView > .log--task-4 { color: $text-accent; }
    LogView > .log--task-5 { color: $text-secondary; }
    LogView > .log--task-6 { color: $foreground; }
    """

    class Changed(Message):
        """The visible lines or their position in the log changed."""

    def __init__(self, reader: LogReader, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._reader = reader
        self.current: int | None = None  # position of the line that was jumped to
        self.matches: dict[str, Spans] | None = None  # spans by raw line; None if no pattern is highlighted
        self.is_wrapped = False
        self.time_format = TimeFormat.CLOCK
        self.pan = 0  # columns scrolled to the right
        self.marks: set[int] = set()  # positions of the lines below which the user drew a mark
        self.names: Mapping[str, str] = NO_NAMES  # name by slug, if the log is merged
        self.visible_lines: list[Line] = []  # the first one may be visible in part
        self._rows: list[tuple[Line, int]] = []  # the visible rows: a line, and which of its rows
        self._anchor: tuple[int, int] = (0, 0)  # position of the first visible line, and its first visible row
        self._base_style: Style | None = None
        self._is_painting = False
        self._zone: tzinfo | None = None
        self._today: date | None = None

    @property
    def buffer(self) -> LogBuffer:
        return self._reader.buffer

    @property
    def following(self) -> bool:
        return self._reader.following

    # ── layout ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def reset(self) -> None:
        """Prepare for another log."""
        self.current, self.matches, self._anchor, self.pan = None, None, (0, 0), 0
        self.marks.clear()
        self.relayout()

    def set_clock(self, zone: tzinfo, today: date) -> None:
        """Show times in ``zone``, and the date of lines that are not from ``today``."""
        if (zone, today) != (self._zone, self._today):
            self._zone, self._today = zone, today
            self.refresh()

    @property
    def top(self) -> int:
        """The position of the first visible line."""
        lines = self.visible_lines
        return lines[0].position if lines else self.buffer.begin or 0

    @property
    def bottom(self) -> int:
        """The position after the last visible line."""
        lines = self.visible_lines
        return lines[-1].end if lines else self.buffer.end or 0

    @property
    def is_current_visible(self) -> bool:
        return self.current is not None and any(line.position == self.current for line in self.visible_lines)

    def relayout(self, direction: int = 0) -> None:
        """Determine the visible rows from what is loaded, and repaint them.

        Args:
            direction: of scrolling, 1 or -1; 0 if the user did not scroll.
        """
        self._rows = [(self.buffer[index], row) for index, row in self._layout_rows()]
        self.visible_lines = lines = list(dict.fromkeys(line for line, _ in self._rows))
        if lines or direction:
            first, last = (lines[0].position, lines[-1].position) if lines else (self.top, self.bottom)
            self._reader.set_viewport(first, last, direction)
        self.refresh()
        self.post_message(self.Changed())

    def _layout_rows(self) -> list[Row]:
        buffer, height = self.buffer, self.size.height
        if not len(buffer) or not height:
            return []
        if self.following:
            return self._rows_before(len(buffer), 0, height)
        rows = self._rows_from(*self._anchor_row(), height)
        if len(rows) < height and buffer.is_at_end:
            rows = self._rows_before(len(buffer), 0, height)
            index, row = rows[0]
            self._anchor = (buffer[index].position, row)
        return rows

    def _anchor_row(self) -> Row:
        """Return the loaded row that is nearest to the anchor."""
        index = self.buffer.index(self._anchor[0])
        return index, min(self._anchor[1], self._height(index) - 1)

    def _hold(self) -> None:
        """Anchor the view at its first visible row."""
        if self._rows:
            line, row = self._rows[0]
            self._anchor = (line.position, row)

    def _rows_from(self, index: int, row: int, count: int) -> list[Row]:
        return rows_from(index, row, count, len(self.buffer), self._height)

    def _rows_before(self, index: int, row: int, count: int) -> list[Row]:
        return rows_before(index, row, count, self._height)

    def _height(self, index: int) -> int:
        line = self.buffer[index]
        return self._message_height(line) + (line.position in self.marks)

    def _message_height(self, line: Line) -> int:
        return max(1, ceil(message(line).cell_len / self._message_width(line))) if self.is_wrapped else 1

    def _is_mark(self, line: Line, row: int) -> bool:
        return line.position in self.marks and row == self._message_height(line)

    def _message_width(self, line: Line) -> int:
        return max(_MIN_MESSAGE_WIDTH, self.size.width - self._indent(line))

    def _indent(self, line: Line) -> int:
        """Return the number of columns before the message."""
        return len(self._time_prefix(line)) + self._name_column_width + 2

    def _time_prefix(self, line: Line) -> str:
        return time_prefix(line, self.time_format, self._zone, self._today, is_narrow=self.size.width < NARROW)

    @property
    def _name_column_width(self) -> int:
        """The width of the column with the names of tasks, including its margin; 0 for the log of one task."""
        if not self.names:
            return 0
        widest = _NARROW_NAME_WIDTH if self.size.width < NARROW else _NAME_WIDTH
        return min(widest, max(map(cell_len, self.names.values()))) + 1

    # ── moving ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_follow(self) -> None:
        """Go to the end and stay there."""
        self._reader.follow()
        self.relayout()

    def action_to_top(self) -> None:
        """Go to the oldest line that is stored."""
        self.jump_to(0)

    def jump_to(self, position: int, share: float = 0.0) -> None:
        """Go to a position in the file as soon as it is loaded.

        Args:
            share: how far down the screen the line is placed, from 0 to 1.
        """
        if self.following:
            self._hold()
        self._reader.jump_to(position, partial(self._arrive, share))
        self.relayout()

    def _arrive(self, share: float, position: int) -> None:
        """Show the line at ``position``. If it is the current line and already on the screen, the view stays put."""
        if not self.is_mounted:
            return
        if len(self.buffer):
            index = self.buffer.index(position)
            target = self.buffer[index].position
            if target != self.current or all(line.position != target for line in self.visible_lines[1:-1]):
                above = self._rows_before(index, 0, int(self.size.height * share))
                index, row = above[0] if above else (index, 0)
                self._anchor = (self.buffer[index].position, row)
        self.relayout()

    def set_filter(self, line_filter: LineFilter) -> None:
        """Replace the filter; the first visible line stays at the top, unless the view follows the end."""
        top = self.top
        self._reader.set_filter(line_filter)
        if self.following:
            self.relayout()
        else:
            self.jump_to(top)

    def action_lines(self, count: int) -> None:
        """Scroll down by ``count`` rows, or up if it is negative."""
        self._hold()
        if not len(self.buffer):
            return
        index, row = self._anchor_row()
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
        self.relayout(1 if count > 0 else -1)

    def action_half(self, direction: int) -> None:
        """Scroll by half a screen."""
        self.action_lines(direction * max(1, self.size.height // 2))

    def action_pan(self, columns: int) -> None:
        """Scroll to the right, or to the left if ``columns`` is negative."""
        self.pan = max(0, self.pan + columns)
        self.refresh()

    def pan_to(self, line: Line, begin: int, end: int) -> None:
        """Scroll horizontally to the columns from ``begin`` to ``end`` of a message, unless they are visible."""
        width = self._message_width(line) - 1
        if not self.is_wrapped and (begin < self.pan or end > self.pan + width):
            self.pan = 0 if end <= width else max(0, min(begin, end - width * 2 // 3))
            self.refresh()

    def action_wrap(self) -> None:
        """Switch between wrapping and cutting long lines."""
        self._hold()
        self.is_wrapped, self.pan = not self.is_wrapped, 0
        self.relayout()

    def action_times(self) -> None:
        """Cycle through times, dates and times, and no times."""
        self._hold()
        self.time_format = self.time_format.next
        self.relayout()

    def action_mark(self) -> None:
        """Draw a mark below the last visible line, or remove it."""
        if self.visible_lines:
            self.marks ^= {int(self.visible_lines[-1].position)}
            self._hold()
            self.relayout()

    def action_to_mark(self) -> None:
        """Go to the nearest mark above the screen, or to the newest mark."""
        above = [mark for mark in self.marks if mark < self.top]
        if self.marks:
            self.jump_to(max(above or self.marks), 0.5)

    def on_resize(self) -> None:
        self.relayout()

    def on_show(self) -> None:
        # Lines that arrived while the view was hidden were laid out for its former size.
        self.relayout()

    # ── matches ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def set_matches(self, matches: dict[str, Spans] | None) -> None:
        """Highlight the spans of each raw line; None to highlight nothing."""
        self.matches = matches
        self.refresh()

    def lines_to_locate(self) -> Iterator[str]:
        """Yield the visible raw lines whose matches are not known yet."""
        if self.matches is not None:
            if len(self.matches) > _MAX_LOCATED_LINES:
                self.matches.clear()
            yield from (line.raw for line in self.visible_lines if line.raw not in self.matches and not line.is_note)

    # ── copying ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def copied_text(self, line: Line) -> str:
        """Return the original message of a line, after the name of its task if the log is merged."""
        name = self.names.get(line.task, "")
        text = original_message(line)
        return f"{name}: {text}" if name else text

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

    def render_lines(self, crop: Region) -> list[Strip]:
        self._is_painting = True
        try:
            return super().render_lines(crop)
        finally:
            self._is_painting = False

    def render_line(self, y: int) -> Strip:
        """Return a row. Unless it is painted, it has the metadata by which Textual finds the character at a cell.

        With its metadata, each segment that is painted would be a new style, and caches of Textual hold on to thousands
        of styles.
        """
        width = max(0, self.size.width)
        base = self._base_style = self._base_style or self.rich_style
        segments = self._row_segments(*self._rows[y], width, base) if y < len(self._rows) else [Segment("", base)]
        return Strip(segments).adjust_cell_length(width, base)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._base_style = None

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"log--{name}", partial=True)

    def _row_segments(self, line: Line, row: int, width: int, base: Style) -> list[Segment]:
        """Return one row of a line, of any width."""
        if self._is_mark(line, row):
            return [Segment("── mark ".ljust(width, "─"), base + self._style("mark"))]
        kind = line_kind(line)
        if line.position == self.current:
            base += self._style("current")
        style = base + self._style(kind)
        indent = self._indent(line)
        if row:
            head = [Segment(" " * indent, base)]
        else:
            head = [Segment(self._time_prefix(line), base + self._style("time")), *self._name_segments(line, base)]
            head.append(Segment(f"{SYMBOLS[kind]} ", style))
        text = self._highlighted_message(line)
        room = max(0, width - indent)
        begin = row * self._message_width(line) if self.is_wrapped else self.pan
        cells = text.cell_len
        is_cut_left = not self.is_wrapped and begin > 0 and cells > 0
        is_cut_right = not self.is_wrapped and cells > begin + room > 0
        crop = _Crop(text, begin + is_cut_left, begin + room - is_cut_right)
        content: Iterable[Segment] = Segment.apply_style(crop.text.render(self.app.console), style)
        if not self._is_painting:
            content = _selectable(content, crop.offset, line.position)
        before = Segment("‹" * is_cut_left + " " * crop.left_blanks, base)
        used = before.cell_length + crop.text.cell_len
        after = Segment((" " * crop.right_blanks + "›" * is_cut_right).ljust(room - used), base)
        return [segment for segment in (*head, before, *content, after) if segment.text]

    def _name_segments(self, line: Line, base: Style) -> Iterable[Segment]:
        width = self._name_column_width
        if width:
            name = self.names.get(line.task, "")
            cells = cell_len(name)
            text = name if cells < width else set_cell_size(name, width - 2) + "…"
            number = list(self.names).index(line.task) if name else 0
            style = self._style(_TASK_CLASSES[number % len(_TASK_CLASSES)].removeprefix("log--")) if name else Style()
            yield Segment(text + " " * (width - cell_len(text)), base + style)

    def _highlighted_message(self, line: Line) -> Text:
        """Return the message with its matches and its selected part highlighted."""
        text = message(line)
        spans = self.matches.get(line.raw, []) if self.matches else []
        selection = self.text_selection
        selected = selection.get_span(line.position) if selection is not None else None
        if not spans and not selected:
            return text
        text = text.copy()
        for begin, end in spans:
            text.stylize(self._style("match"), begin, end)
        if selected:
            style = self.screen.get_component_rich_style("screen--selection")
            text.stylize(style, selected[0], len(text) if selected[1] < 0 else selected[1])
        return text


class _Crop:
    """The part of a text between two columns.

    Rich can crop text, too, but caches the result for thousands of texts that contain wide characters.

    Attributes:
        text: the characters that are entirely between the columns.
        offset: index of the first of them.
        left_blanks, right_blanks: columns at the edges that belong to half a wide character.
    """

    def __init__(self, text: Text, begin: int, end: int) -> None:
        plain = text.plain
        self.left_blanks = self.right_blanks = 0
        if plain.isascii():
            self.offset, last = begin, end
        else:
            self.offset, column = 0, 0
            while self.offset < len(plain) and column < begin:
                column += get_character_cell_size(plain[self.offset])
                self.offset += 1
            self.left_blanks = max(0, column - begin)
            last = self.offset
            while last < len(plain) and (next_column := column + get_character_cell_size(plain[last])) <= end:
                column = next_column
                last += 1
            self.right_blanks = end - column if last < len(plain) else 0
        self.text = text if not self.offset and last >= len(plain) else text[self.offset : max(self.offset, last)]


def _selectable(segments: Iterable[Segment], offset: int, position: int) -> Iterable[Segment]:
    """Yield the segments with the metadata that Textual needs to select text: the character offset, and the line."""
    for segment in segments:
        meta = Style.from_meta({"offset": (offset, int(position))})
        yield Segment(segment.text, segment.style + meta if segment.style else meta)
        offset += len(segment.text)
