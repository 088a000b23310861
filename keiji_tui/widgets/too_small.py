"""What covers a screen whose window is too small for it."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Size

from keiji_tui.widgets.adaptive_line import AdaptiveLine

MIN_SIZE = Size(40, 12)


class TooSmall(AdaptiveLine):
    """One line that says how large the window has to be; shown while the screen has the class ``-too-small``."""

    DEFAULT_CSS = """
    TooSmall { display: none; layer: cover; width: 100%; height: 100%; background: $background; padding: 0; }
    """

    def __init__(self) -> None:
        super().__init__()
        size = f"{MIN_SIZE.width}×{MIN_SIZE.height}"
        texts = (f"The window is too small; it needs {size}", f"too small: needs {size}", f"needs {size}", size)
        self.set_variants(*((Content.styled(text, "$text-warning"), Content("")) for text in texts))


def is_too_small(size: Size) -> bool:
    """Return whether a screen of that size cannot show anything useful."""
    return size.width < MIN_SIZE.width or size.height < MIN_SIZE.height
