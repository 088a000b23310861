"""Removes all colours if NO_COLOR is set, and replaces faint ones by dim text.

Textual would replace colours by greys, which are colours too: a dark screen on a light terminal. What a background
colour means, the style sheet expresses with reverse, bold or underlined text (``:nocolor``).
"""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color as TerminalColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

_FAINT = 0.46  # difference in brightness, from 0 to 1, below which text becomes dim
_DIM = Style(dim=True)


class ColourlessFilter(LineFilter):
    """Removes all colours from what is painted."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the same text without colours; faint text is dim."""
        return [
            Segment(text, strip_colours(style, background) if style is not None else None, control)
            for text, style, control in segments
        ]


@lru_cache(4096)
def strip_colours(style: Style, background: Color) -> Style:
    """Return a style without its colours, dim if they were faint."""
    bare = style.without_color
    if style.meta:
        bare += Style.from_meta(style.meta)
    behind = Color.from_rich_color(style.bgcolor) if _is_known(style.bgcolor) else background
    if _is_known(style.color) and not style.reverse:
        is_faint = abs(behind.brightness - Color.from_rich_color(style.color).brightness) < _FAINT
        bare += _DIM if is_faint else Style()
    return bare


def _is_known(color: TerminalColor | None) -> bool:
    """Return whether the brightness of a colour is known; the terminal chooses those of its palette."""
    return color is not None and color.triplet is not None
