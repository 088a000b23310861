"""A scrollable view of lines of text, with sections. Text is selected with the mouse."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import get_character_cell_size
from rich.segment import Segment
from textual import events
from textual.content import Content
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions

from keiji_tui.actions.action import Scope
from keiji_tui.actions.bindings import bindings


class TextView(ScrollView, can_focus=True):
    """Shows lines without wrapping; only visible lines are rendered."""

    BINDINGS = bindings(Scope.LIST, Scope.TEXT)
    DEFAULT_CSS = """
    TextView { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: list[Content] = []
        self._section_starts: list[int] = []
        self._pan = 0
        self._is_painting = False

    def set_lines(self, lines: Sequence[Content], section_starts: Sequence[int] = ()) -> None:
        """Show other lines, and keep the scroll position.

        Args:
            section_starts: indices of the lines at which sections begin.
        """
        self._section_starts = list(section_starts)
        if len(lines) == len(self._lines) and all(a.is_same(b) for a, b in zip(lines, self._lines, strict=True)):
            return
        self._lines = list(lines)
        self.virtual_size = Size(self.size.width, len(self._lines))
        self.refresh()

    # ── keys and mouse ───────────────────────────────────────────────────────────────────────────────────────────────

    def action_rows(self, count: int) -> None:
        """Scroll by ``count`` lines."""
        self._show(round(self.scroll_offset.y) + count)

    def action_half(self, direction: int) -> None:
        """Scroll by half a page."""
        self.action_rows(direction * max(1, self.size.height // 2))

    def action_to_row(self, index: int) -> None:
        """Scroll to the first line (0) or the last one (-1)."""
        self._show(index if index >= 0 else len(self._lines))

    def action_pan(self, cells: int) -> None:
        """Scroll horizontally by ``cells``."""
        longest = max((line.cell_length for line in self._lines), default=0)
        self._pan = max(0, min(self._pan + cells, longest - self.size.width // 2))
        self.refresh()

    def action_section(self, direction: int) -> None:
        """Scroll to the start of the next section (1), or to that of the current or previous one (-1)."""
        current = round(self.scroll_offset.y)
        earlier = [line for line in self._section_starts if line < current]
        later = [line for line in self._section_starts if line > current]
        if direction > 0 and later:
            self._show(later[0])
        elif direction < 0:
            self._show(earlier[-1] if earlier else 0)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_rows(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_rows(3)

    def _show(self, line: int) -> None:
        self.scroll_to(y=min(max(line, 0), self.max_scroll_y), animate=False, immediate=True, force=True)

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._lines))

    # ── selecting ────────────────────────────────────────────────────────────────────────────────────────────────────

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        parts = []
        for number, line in enumerate(self._lines):
            if (span := selection.get_span(number)) is not None:
                parts.append(line.plain[span[0] : None if span[1] < 0 else span[1]].rstrip())
        return "\n".join(parts), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    def _with_selection(self, line: Content, number: int) -> Content:
        """Return a line with its selected part highlighted."""
        selection = self.text_selection
        span = selection.get_span(number) if selection is not None else None
        if span is None:
            return line
        styles = self.screen.get_component_styles("screen--selection")
        style = Style.from_styles(styles)
        if styles.text_style.reverse:
            style += Style(reverse=True)  # which Textual leaves out of visual styles
        return line.stylize(style, span[0], None if span[1] < 0 else span[1])

    # ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def render_lines(self, crop: Region) -> list[Strip]:
        self._is_painting = True
        try:
            return super().render_lines(crop)
        finally:
            self._is_painting = False

    def render_line(self, y: int) -> Strip:
        """Return a line. Unless it is painted, it has the metadata by which Textual finds the character at a cell.

        With its metadata, each segment that is painted would be a new style, and caches of Textual hold on to thousands
        of styles.
        """
        width = self.scrollable_content_region.width
        index = round(self.scroll_offset.y) + y
        style = self.visual_style
        if index >= len(self._lines):
            return Strip.blank(width, style.rich_style)
        line = self._with_selection(self._lines[index], index)
        inner_width = max(width - 2, 1)
        options = RenderOptions(self._get_style, {"text_wrap": "nowrap"})
        strips = line.render_strips(max(line.cell_length, 1), 1, style, options)
        whole = strips[0] if strips else Strip.blank(1, style.rich_style)
        shown = whole.crop(self._pan, self._pan + inner_width)
        more = "›" if line.cell_length > self._pan + inner_width else " "
        edge = "‹" if self._pan and line.cell_length else " "
        base = style.rich_style
        before, after = Strip([Segment(edge, base)]), Strip([Segment(more, base)])
        shown = shown.adjust_cell_length(inner_width, base)
        if not self._is_painting:
            shown = shown.apply_offsets(_characters_before(line.plain, self._pan), index)
        return Strip.join([before, shown, after]).adjust_cell_length(width, base)


def _characters_before(text: str, column: int) -> int:
    """Return the number of characters before a column."""
    if text.isascii():
        return column
    count = 0
    for character in text:
        if column <= 0:
            break
        column -= get_character_cell_size(character)
        count += 1
    return count
