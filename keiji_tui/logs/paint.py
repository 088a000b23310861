"""A row of a log as segments. It is one strip for each row, made at once: a screen is painted twenty times a second."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from keiji_tui.logs.chunk import Line
from keiji_tui.logs.line import MARKS, NARROW, kind, message

if TYPE_CHECKING:
    from keiji_tui.logs.view import LogView

TASKS = tuple(f"log--task-{number}" for number in range(1, 7))  # what tells tasks apart, together with their names
_WIDE_NAME, _NARROW_NAME = 16, 9


def row_segments(view: LogView, line: Line, row: int, width: int, base: Style) -> list[Segment]:
    """Return what stands on one row of a line, as wide as it happens to be.

    Args:
        width: cells that there are.
        base: the style of the widget.
    """
    if view.is_mark(line, row):
        return [Segment("── mark ".ljust(width, "─"), base + style_of(view, "mark"))]
    name = kind(line)
    if line.position == view.here:
        base += style_of(view, "here")
    before = view.head(line)
    style = base + style_of(view, name)
    indent = view.indent(line)
    if row:
        head = [Segment(" " * indent, base)]
    else:
        head = [Segment(before, base + style_of(view, "time")), *_whose(view, line, base)]
        head.append(Segment(f"{MARKS[name]} ", style))
    text = _marked(view, line)
    segments = list(Segment.apply_style(text.render(view.app.console), style))
    room = max(0, width - indent)
    begin = row * view.room(line) if view.is_wrapped else view.pan
    offset = 0
    cells = text.cell_len
    if begin or cells > room:
        whole = Strip(segments, cells)
        is_cut = not view.is_wrapped and cells > begin + room > 0
        is_cut_before = not view.is_wrapped and begin > 0 and cells > 0
        first = begin + is_cut_before
        segments = [Segment("‹", base)] if is_cut_before else []
        segments += whole.crop(first, begin + room - is_cut)
        segments += [Segment("›", base)] if is_cut else []
        offset = len(whole.crop(0, first).text) - is_cut_before
        cells = sum(segment.cell_length for segment in segments)
    placed = _placed(segments, offset, line.position)
    return [*head, *placed, Segment(" " * max(0, room - cells), base)]


def name_width(view: LogView) -> int:
    """Return how many cells the names of tasks take with what parts them from the message; 0 for one task."""
    if not view.names:
        return 0
    widest = _NARROW_NAME if view.size.width < NARROW else _WIDE_NAME
    return min(widest, max(map(cell_len, view.names.values()))) + 1


def _whose(view: LogView, line: Line, base: Style) -> Iterable[Segment]:
    width = name_width(view)
    if width:
        name = view.names.get(line.task, "")
        cells = cell_len(name)
        text = name if cells < width else set_cell_size(name, width - 2) + "…"
        slugs = list(view.names)
        style = style_of(view, TASKS[slugs.index(line.task) % len(TASKS)].removeprefix("log--")) if name else Style()
        yield Segment(text + " " * (width - cell_len(text)), base + style)


def _placed(segments: Iterable[Segment], offset: int, position: int) -> Iterable[Segment]:
    """Yield segments that say to what letter of which line they belong, for whoever selects with the mouse."""
    for segment in segments:
        meta = Style.from_meta({"offset": (offset, int(position))})
        yield Segment(segment.text, segment.style + meta if segment.style else meta)
        offset += len(segment.text)


def _marked(view: LogView, line: Line) -> Text:
    """Return the message with what matches and what is selected in it."""
    text = message(line)
    spans = view.spans.get(line.raw, []) if view.spans else []
    selection = view.text_selection
    chosen = selection.get_span(line.position) if selection is not None else None
    if not spans and not chosen:
        return text
    text = text.copy()
    for begin, end in spans:
        text.stylize(style_of(view, "match"), begin, end)
    if chosen:
        style = view.screen.get_component_rich_style("screen--selection")
        text.stylize(style, chosen[0], len(text) if chosen[1] < 0 else chosen[1])
    return text


def style_of(view: LogView, name: str) -> Style:
    """Return the style that the style sheets give to a part of a log."""
    return view.get_component_rich_style(f"log--{name}", partial=True)
