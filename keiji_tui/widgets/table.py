"""A table by rows of which each has a key. It asks for a row when it shows it, so that its length costs nothing.

Selection and scroll belong to a key and stay with it through filter, sort and refresh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import RenderOptions

from keiji_tui.keymap import Place
from keiji_tui.widgets.bindings import bindings
from keiji_tui.widgets.columns import GAP, Column, widths

Cell = Content | Sequence[Content]  # of several, the first one that fits is shown
Cells = Mapping[str, Cell]
_HEADER = 1


class Table(ScrollView, can_focus=True):
    """Rows of cells under a line of titles.

    Args:
        columns: from left to right.
        describe: returns the cells of a row, by the id of its column.
    """

    BINDINGS = bindings(Place.LIST)
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--title", "table--row", "table--selected"}
    DEFAULT_CSS = """
    Table { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
    Table > .table--title { color: $text-muted; text-style: none; }
    Table > .table--selected { background: $row-selected; }
    Table:focus > .table--selected { background: $row-focused; }
    """

    class Selected(Message):
        """Another row was selected; ``key`` is None when there is no row."""

        def __init__(self, table: Table, key: str | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> Table:
            return self.table

    class Chosen(Message):
        """A row was clicked a second time."""

        def __init__(self, table: Table, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> Table:
            return self.table

    def __init__(self, columns: Sequence[Column], describe: Callable[[str], Cells], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._columns = columns
        self._describe = describe
        self._keys: list[str] = []
        self._places: dict[str, int] = {}
        self._wanted: dict[str, int] = {}
        self._shown: list[tuple[Column, int]] = []
        self._painted: dict[str, Content] = {}
        self.selected: str | None = None

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, keys: Sequence[str], wanted: Mapping[str, int] | None = None) -> None:
        """Show the rows of ``keys`` in that order; repaint those that differ from what is on the screen.

        Args:
            wanted: cells that the content of a column would take, where that is known.
        """
        if wanted is not None and wanted != self._wanted:
            self._wanted = dict(wanted)
            self._lay_out()
        if keys == self._keys:
            self.repaint()
            return
        place = self._places.get(self.selected or "", 0)
        offset = place - self.scroll_offset.y
        self._keys = list(keys)
        self._places = {key: index for index, key in enumerate(self._keys)}
        self._painted.clear()
        self.virtual_size = Size(self.size.width, len(self._keys) + _HEADER)
        if self.selected not in self._places:
            self._select(min(place, len(self._keys) - 1))
        elif self._places[self.selected] != place:
            self.scroll_to(y=max(0, self._places[self.selected] - offset), animate=False, immediate=True, force=True)
        self.refresh()

    def repaint(self) -> None:
        """Refresh those visible rows that would look different now."""
        top = self.scroll_offset.y
        for index in range(top, min(top + self.size.height, len(self._keys))):
            key = self._keys[index]
            painted = self._painted.get(key)
            if painted is not None and not self._row(key).is_same(painted):
                self.refresh_line(index + _HEADER)

    def select(self, key: str) -> None:
        """Select the row of ``key``, where there is one."""
        if key in self._places:
            self._select(self._places[key])

    def _select(self, index: int) -> None:
        key = self._keys[index] if 0 <= index < len(self._keys) else None
        if key == self.selected:
            return
        self.selected = key
        self._reveal()
        self.refresh()
        self.post_message(self.Selected(self, key))

    def _reveal(self) -> None:
        """Scroll as little as it takes to have the selected row in view."""
        index = self._places.get(self.selected or "")
        if index is not None:
            room = max(1, self.size.height - _HEADER)
            top = max(min(self.scroll_offset.y, index), index - room + 1)
            self.scroll_to(y=top, animate=False, immediate=True, force=True)

    # ── keys and mouse ───────────────────────────────────────────────────────────────────────────────────────────────

    def action_rows(self, count: int) -> None:
        """Move the selection by so many rows."""
        index = self._places.get(self.selected or "", 0) + count
        self._select(min(max(index, 0), len(self._keys) - 1))

    def action_half(self, direction: int) -> None:
        """Move the selection by half a page."""
        self.action_rows(direction * max(1, (self.size.height - _HEADER) // 2))

    def action_to_row(self, index: int) -> None:
        """Select the first row (0) or the last one (-1)."""
        self._select(index if index >= 0 else len(self._keys) + index)

    def on_click(self, event: events.Click) -> None:
        index = self.scroll_offset.y + event.y - _HEADER
        if event.y < _HEADER or index >= len(self._keys):
            return
        if event.chain > 1:
            self.post_message(self.Chosen(self, self._keys[index]))
        else:
            self._select(index)

    # ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def on_resize(self) -> None:
        self._lay_out()
        self.virtual_size = Size(self.size.width, len(self._keys) + _HEADER)
        self._reveal()

    def _lay_out(self) -> None:
        self._shown = widths(self._columns, self._wanted, max(1, self.scrollable_content_region.width - 2))
        self._painted.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._painted.clear()

    def _row(self, key: str) -> Content:
        cells = self._describe(key)
        return self._line(cells)

    def _line(self, cells: Cells) -> Content:
        parts: list[Content | str] = []
        for column, width in self._shown:
            cell = _fitting(cells.get(column.id, _NOTHING), width)
            if column.keeps_end and cell.cell_length > width:
                cell = cell[len(cell) - width :]
            cell = cell.truncate(width, ellipsis=not column.is_mark)
            padding = " " * (width - cell.cell_length)
            parts += [padding, cell, " " * GAP] if column.right else [cell, padding, " " * GAP]
        return Content.assemble(" ", *parts[:-1])

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        index = self.scroll_offset.y + y - _HEADER
        if y < _HEADER:
            titles = {column.id: Content(column.title[:width]) for column, width in self._shown}
            content, name = self._line(titles), "title"
        elif index < len(self._keys):
            key = self._keys[index]
            content, name = self._row(key), "selected" if key == self.selected else "row"
            self._painted[key] = content
        else:
            return Strip.blank(width, self.rich_style)
        style = self.get_visual_style(f"table--{name}")
        strips = content.render_strips(width, 1, style, RenderOptions(self._get_style, {"text_wrap": "nowrap"}))
        strip = strips[0] if strips else Strip.blank(width, style.rich_style)
        return strip.adjust_cell_length(width, style.rich_style)


_NOTHING = Content("")


def _fitting(cell: Cell, width: int) -> Content:
    if isinstance(cell, Content):
        return cell
    return next((content for content in cell if content.cell_length <= width), cell[-1])
