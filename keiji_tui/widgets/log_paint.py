"""A row of a log as segments. It is one strip for each row, made at once: a screen is painted twenty times a second."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from keiji_tui.logs.lines import Line
from keiji_tui.widgets.log_line import MARKS, kind, message

if TYPE_CHECKING:
    from keiji_tui.widgets.log_view import LogView


def row_segments(view: LogView, line: Line, row: int, width: int, base: Style) -> list[Segment]:
    """Return what stands on one row of a line, as wide as it happens to be.

    Args:
        width: cells that there are.
        base: the style of the widget.
    """
    name = kind(line)
    if line.position == view.here:
        base += style_of(view, "here")
    before = view.head(line)
    style = base + style_of(view, name)
    if row:
        head = [Segment(" " * (len(before) + 2), base)]
    else:
        head = [Segment(before, base + style_of(view, "time")), Segment(f"{MARKS[name]} ", style)]
    text = _marked(view, line)
    segments = list(Segment.apply_style(text.render(view.app.console), style))
    room = max(0, width - len(before) - 2)
    begin = row * view.room(line) if view.is_wrapped else view.pan
    offset = 0
    cells = text.cell_len
    if begin or cells > room:
        whole = Strip(segments, cells)
        is_cut = not view.is_wrapped and cells > begin + room > 0
        segments = list(whole.crop(begin, begin + room - is_cut))
        segments += [Segment("›", base)] if is_cut else []
        offset = len(whole.crop(0, begin).text)
        cells = sum(segment.cell_length for segment in segments)
    placed = _placed(segments, offset, line.position)
    return [*head, *placed, Segment(" " * max(0, room - cells), base)]


def _placed(segments: Iterable[Segment], offset: int, position: int) -> Iterable[Segment]:
    """Yield segments that say to what letter of which line they belong, for whoever selects with the mouse."""
    for segment in segments:
        meta = Style.from_meta({"offset": (offset, position)})
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
