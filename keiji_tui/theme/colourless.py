"""How it looks without colours: what they tell is told by what a terminal has besides them.

The toolkit makes greys of them, which are colours, too: whoever sets NO_COLOR gets a dark screen on a light terminal.
What a background tells, the style sheet says again in reverse, bold or underlined letters (``:nocolor``).
"""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color as TerminalColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

_FAINT = 0.46  # of the way from black to white: letters that are no further from what is behind them stand back
_DIM = Style(dim=True)


class ColourlessFilter(LineFilter):
    """Takes all colours out of what goes to the terminal."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the same letters without colours; those that hardly stand out from what is behind them are dim."""
        return [
            Segment(text, strip_colours(style, background) if style is not None else None, control)
            for text, style, control in segments
        ]


@lru_cache(4096)
def strip_colours(style: Style, background: Color) -> Style:
    """Return a style that has no colours, with what else there is to it."""
    bare = style.without_color
    if style.meta:
        bare += Style.from_meta(style.meta)
    behind = Color.from_rich_color(style.bgcolor) if _is_known(style.bgcolor) else background
    if _is_known(style.color) and not style.reverse:
        is_faint = abs(behind.brightness - Color.from_rich_color(style.color).brightness) < _FAINT
        bare += _DIM if is_faint else Style()
    return bare


def _is_known(color: TerminalColor | None) -> bool:
    """Return whether it can be told how bright a colour is: one that the terminal chooses may be anything."""
    return color is not None and color.triplet is not None
