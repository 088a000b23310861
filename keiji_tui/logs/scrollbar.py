"""The scroll bar of a log. It works in bytes, because the number of lines is unknown."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from keiji_tui.logs.layout import thumb


class LogScrollbar(Widget):
    """A vertical scroll bar, one column wide, that can be dragged."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log-scrollbar--thumb"}
    DEFAULT_CSS = """
    LogScrollbar { width: 1; height: 1fr; }
    LogScrollbar > .log-scrollbar--thumb { background: $scrollbar; }
    """

    class Scrolled(Message):
        """The user moved the thumb.

        Args:
            position: byte offset in the log; None for its end.
        """

        def __init__(self, position: int | None) -> None:
            super().__init__()
            self.position = position

    def __init__(self) -> None:
        super().__init__()
        self._visible: tuple[int, int] | None = None
        self._log = (0, 0)
        self._is_dragged = False
        self._styles: tuple[Style, Style] | None = None  # of the bar and of the thumb

    def show(self, visible: tuple[int, int] | None, oldest: int, size: int) -> None:
        """Move the thumb.

        Args:
            visible: bounds of the visible part, in bytes; None for no thumb.
            oldest, size: bounds of the log, in bytes.
        """
        if (visible, (oldest, size)) != (self._visible, self._log):
            self._visible, self._log = visible, (oldest, size)
            self.refresh()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        event.stop()
        self._is_dragged = True
        self.capture_mouse()
        self._scroll(event.y)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._is_dragged:
            event.stop()
            self._scroll(event.y)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._is_dragged:
            event.stop()
            self._is_dragged = False
            self.release_mouse()

    def _scroll(self, y: int) -> None:
        height = max(2, self.size.height)
        oldest, size = self._log
        is_end = y >= height - 1
        self.post_message(self.Scrolled(None if is_end else oldest + (size - oldest) * max(0, y) // (height - 1)))

    def render_line(self, y: int) -> Strip:
        if self._styles is None:
            base = self.rich_style
            self._styles = base, base + self.get_component_rich_style("log-scrollbar--thumb", partial=True)
        is_thumb = self._visible is not None and y in thumb(*self._visible, *self._log, self.size.height)
        return Strip.blank(1, self._styles[is_thumb])

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles = None
