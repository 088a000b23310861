"""Replaces symbols in everything that is painted, for terminals that show ASCII only."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from keiji_tui.text.glyphs import to_encodable


class AsciiFilter(LineFilter):
    """Replaces symbols by ASCII, and characters that ``encoding`` lacks by question marks, cell by cell."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment
            if segment.control or segment.text.isascii()
            else Segment(to_encodable(segment.text, self._encoding), segment.style)
            for segment in segments
        ]
