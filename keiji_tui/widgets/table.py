"""A table whose rows have keys. It asks for the cells of a row when it paints the row, so its length costs nothing.

The selection and the scroll position belong to keys, and stay through filtering, sorting and updates.
bench/table.py compares it with the table of Textual.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions

from keiji_tui.actions.action import Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.widgets.columns import GAP, Column, fit_columns

Cell = Content | Sequence[Content]  # of several variants, the first one that fits is shown
Cells = Mapping[str, Cell]
Painted = tuple[Content, str] | None  # the content of a line and the name of its style; None if it is blank
_HEADER = 1
_EDGES = 2  # cells: the mark before a row, and the blank after it


class Table(ScrollView, can_focus=True):
    """Rows of cells below a line of titles.

    Args:
        columns: from left to right.
        describe: returns the cells of the row with a key, by the id of their column.
    """

    BINDINGS = bindings(Scope.LIST)
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--title", "table--row", "table--selected"}
    DEFAULT_CSS = """
    Table { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
    Table > .table--title { color: $text-muted; text-style: none; }
    Table > .table--selected { background: $row-selected; }
    Table:focus > .table--selected { background: $row-focused; }
    """

    class Selected(Message):
        """Another row was selected; ``key`` is None if there is no row."""

        def __init__(self, table: Table, key: str | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> Table:
            return self.table

    class Activated(Message):
        """A row was clicked a second time."""

        def __init__(self, table: Table, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> Table:
            return self.table

    class TitleClicked(Message):
        """The title of a column was clicked."""

        def __init__(self, table: Table, column: str) -> None:
            super().__init__()
            self.table = table
            self.column = column

        @property
        def control(self) -> Table:
            return self.table

    def __init__(self, columns: Sequence[Column], describe: Callable[[str], Cells], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._columns = columns
        self._describe = describe
        self._visible_rows = 0
        self._source_keys: Sequence[str] = ()
        self._keys: list[str] = []
        self._index_of: dict[str, int] = {}
        self._content_widths: dict[str, int] = {}
        self._layout: list[tuple[Column, int]] = []
        self._painted: dict[int, tuple[Content, str]] = {}  # by line below the titles
        self._rendered: dict[str, Content] = {}  # rows rendered since the last call of `repaint`
        self._assembled: dict[str, tuple[Cells, bool, Content]] = {}  # the last cells of each painted row, and its line
        self._marked: Collection[str] = ()
        self._sorted: tuple[str, bool] = ("", False)
        self.selected: str | None = None
        self.empty_text = Content("")  # shown if there are no rows

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def set_rows(
        self,
        keys: Sequence[str],
        content_widths: Mapping[str, int] | None = None,
        *,
        marked: Collection[str] = (),
        sorted_by: tuple[str, bool] = ("", False),
    ) -> None:
        """Show the rows of ``keys`` in that order, and repaint those that have changed.

        Args:
            content_widths: id of a column → width of its content in cells, if known.
            marked: keys of marked rows.
            sorted_by: the column by which the rows are sorted, and whether the order is descending.
        """
        self._marked = marked
        if sorted_by != self._sorted:
            self._sorted = sorted_by
            self.refresh_line(self.scroll_offset.y)
        if content_widths is not None and content_widths != self._content_widths:
            self._content_widths = dict(content_widths)
            self._lay_out()
        if keys is self._source_keys or keys == self._keys:
            self._source_keys = keys
            self.repaint()
            return
        index = self._index_of.get(self.selected or "", 0)
        anchor, offset = self._anchor(index)
        self._source_keys, self._keys = keys, list(keys)
        self._index_of = dict(zip(keys, range(len(keys)), strict=True))
        self.virtual_size = Size(self.size.width, len(self._keys) + _HEADER)
        if self.selected not in self._index_of:
            self._select(min(index, len(self._keys) - 1))
        elif anchor in self._index_of:
            self.scroll_to(y=max(0, self._index_of[anchor] - offset), animate=False, immediate=True, force=True)
        self.repaint()

    def _anchor(self, selected: int) -> tuple[str, int]:
        """Return the row that keeps its place on the screen, and that place: the selected one if it is visible."""
        top = self.scroll_offset.y
        shown = selected if top <= selected < top + self.size.height - _HEADER else top
        return (self._keys[shown] if shown < len(self._keys) else "", shown - top)

    def repaint(self) -> None:
        """Refresh the lines that have changed; painting a line takes a third of a millisecond."""
        self._rendered.clear()
        top = self.scroll_offset.y
        for y in range(self.size.height - _HEADER):
            painted = self._painted.get(y)
            if painted is not None and not _are_same(painted, self._expected(top + y)):
                self.refresh_line(top + y + _HEADER)
        if len(self._assembled) > 2 * len(self._rendered):
            self._assembled = {key: row for key, row in self._assembled.items() if key in self._rendered}

    def _expected(self, index: int) -> Painted:
        """Return the content and the style that the line of row ``index`` should have."""
        if index >= len(self._keys):
            return (self.empty_text, "row") if not self._keys and index == 1 else None
        key = self._keys[index]
        content = self._rendered.get(key)
        if content is None:
            content = self._rendered[key] = self._row(key)
        return content, "selected" if key == self.selected else "row"

    def select(self, key: str) -> None:
        """Select the row with that key, if there is one."""
        if key in self._index_of:
            self._select(self._index_of[key])

    def _select(self, index: int) -> None:
        key = self._keys[index] if 0 <= index < len(self._keys) else None
        if key == self.selected:
            return
        before, self.selected = self.selected, key
        self._reveal()
        for changed in (before, key):
            if changed is not None and changed in self._index_of:
                self.refresh_line(self._index_of[changed] + _HEADER)
        self.post_message(self.Selected(self, key))

    def _reveal(self) -> None:
        """Scroll no further than needed to show the selected row."""
        index = self._index_of.get(self.selected or "")
        if index is not None:
            rows = max(1, self.size.height - _HEADER)
            top = max(min(self.scroll_offset.y, index), index - rows + 1)
            self.scroll_to(y=top, animate=False, immediate=True, force=True)

    # ── keys and mouse ───────────────────────────────────────────────────────────────────────────────────────────────

    def action_rows(self, count: int) -> None:
        """Move the selection by ``count`` rows."""
        index = self._index_of.get(self.selected or "", 0) + count
        self._select(min(max(index, 0), len(self._keys) - 1))

    def action_half(self, direction: int) -> None:
        """Move the selection by half a page."""
        self.action_rows(direction * max(1, (self.size.height - _HEADER) // 2))

    def action_to_row(self, index: int) -> None:
        """Select the first row (0) or the last one (-1)."""
        self._select(index if index >= 0 else len(self._keys) + index)

    def on_click(self, event: events.Click) -> None:
        index = self.scroll_offset.y + event.y - _HEADER
        if event.y < _HEADER:
            self._click_title(event.x)
        if event.y < _HEADER or index >= len(self._keys):
            return
        if event.chain > 1:
            self.post_message(self.Activated(self, self._keys[index]))
        else:
            self._select(index)

    def _click_title(self, x: int) -> None:
        end = 1
        for column, width in self._layout:
            end += width + GAP
            if x < end:
                self.post_message(self.TitleClicked(self, column.id))
                return

    # ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def on_resize(self) -> None:
        self._lay_out()
        self.virtual_size = Size(self.size.width, len(self._keys) + _HEADER)
        # Lines above the table appear and disappear; if the user has scrolled away from the selection, the view stays.
        before, self._visible_rows = self._visible_rows, self.size.height - _HEADER
        if before < 1 or 0 <= self._index_of.get(self.selected or "", 0) - self.scroll_offset.y < before:
            self._reveal()

    @property
    def content_width(self) -> int:
        """The width at which no cell is cut off."""
        widths = [column.full_width(self._content_widths) for column in self._columns]
        return sum(width + GAP for width in widths if width) - GAP + _EDGES + self.scrollbar_size_vertical

    def _lay_out(self) -> None:
        self._layout = fit_columns(
            self._columns, self._content_widths, max(1, self.scrollable_content_region.width - _EDGES)
        )
        self._painted.clear()
        self._rendered.clear()
        self._assembled.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._painted.clear()
        self._rendered.clear()
        self._assembled.clear()

    def _row(self, key: str) -> Content:
        """Return the line of a row. To assemble one costs more than to find that its cells are the same as before."""
        cells, is_marked = self._describe(key), key in self._marked
        known = self._assembled.get(key)
        if known is not None and known[1] == is_marked and _have_same_cells(known[0], cells):
            return known[2]
        line = self._line(cells, _MARK if is_marked else _NO_MARK)
        self._assembled[key] = (cells, is_marked, line)
        return line

    def _titles(self) -> Content:
        titles = {}
        for column, width in self._layout:
            arrow = ("↓" if self._sorted[1] else "↑") if column.id == self._sorted[0] else ""
            name = column.title_at(width)
            gap = " " if arrow and len(name) + 2 <= width and name else ""
            title = name[: width - len(arrow)]
            titles[column.id] = Content.assemble(title, gap, (arrow, "$text-accent"))
        return self._line(titles, _NO_MARK)

    def _line(self, cells: Cells, mark: Content) -> Content:
        parts: list[Content | str] = []
        for column, width in self._layout:
            cell = _fitting(cells.get(column.id, _NOTHING), width)
            if column.truncate_start and cell.cell_length > width:
                cell = cell[len(cell) - width :]
            cell = cell.truncate(width, ellipsis=not column.is_symbol)
            padding = " " * (width - cell.cell_length)
            parts += [padding, cell, " " * GAP] if column.align_right else [cell, padding, " " * GAP]
        return Content.assemble(mark, *parts[:-1])

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if y < _HEADER:
            expected: Painted = (self._titles(), "title")
        else:
            expected = self._expected(self.scroll_offset.y + y - _HEADER)
            self._painted[y - _HEADER] = expected if expected is not None else _BLANK
        if expected is None:
            return Strip.blank(width, self.rich_style)
        content, name = expected
        style = self.get_visual_style(f"table--{name}")
        if self.get_component_styles(f"table--{name}").text_style.reverse:
            style += _REVERSE  # which Textual leaves out of visual styles
        strips = content.render_strips(width, 1, style, RenderOptions(self._get_style, {"text_wrap": "nowrap"}))
        strip = strips[0] if strips else Strip.blank(width, style.rich_style)
        return strip.adjust_cell_length(width, style.rich_style)


_NOTHING = Content("")
_BLANK = (_NOTHING, "")
_REVERSE = Style(reverse=True)
_NO_MARK, _MARK = Content(" "), Content.styled("*", "bold $text-warning")


def _fitting(cell: Cell, width: int) -> Content:
    if isinstance(cell, Content):
        return cell
    return next((content for content in cell if content.cell_length <= width), cell[-1])


def _have_same_cells(one: Cells, other: Cells) -> bool:
    return one.keys() == other.keys() and all(_is_same_cell(one[column], other[column]) for column in one)


def _is_same_cell(one: Cell, other: Cell) -> bool:
    if isinstance(one, Content) or isinstance(other, Content):
        return isinstance(one, Content) and isinstance(other, Content) and one.is_same(other)
    return len(one) == len(other) and all(a.is_same(b) for a, b in zip(one, other, strict=True))


def _are_same(painted: tuple[Content, str], expected: Painted) -> bool:
    content, name = expected or _BLANK
    return painted[1] == name and painted[0].is_same(content)
