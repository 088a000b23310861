"""The scroll bar of a log. It goes by bytes: how many lines there are nobody has counted."""

from __future__ import annotations

from abc import abstractmethod

from rich.style import Style
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from keiji_tui.logs.buffer import LogBuffer
from keiji_tui.logs.layout import thumb

BAR = 1  # cells that it takes on the right


class LogScrollbar(Widget):
    """A widget that draws the bar at the right of what it shows, and goes where somebody drags it to."""

    _is_dragged = False

    @property
    @abstractmethod
    def buffer(self) -> LogBuffer:
        """What is loaded of the log."""

    @property
    @abstractmethod
    def following(self) -> bool:
        """Whether the end is what is looked at."""

    @property
    @abstractmethod
    def seen(self) -> tuple[int, int]:
        """The positions between which the screen is."""

    @abstractmethod
    def action_follow(self) -> None:
        """Go to the end and stay there."""

    @abstractmethod
    def go_to_top_at(self, position: int) -> None:
        """Have a place in the log at the top of the screen."""

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if event.x >= self.size.width - BAR:
            event.stop()
            self._is_dragged = True
            self.capture_mouse()
            self._drag_to(event.y)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._is_dragged:
            event.stop()
            self._drag_to(event.y)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._is_dragged:
            event.stop()
            self._is_dragged = False
            self.release_mouse()

    def _drag_to(self, y: int) -> None:
        height, buffer = max(2, self.size.height), self.buffer
        oldest = buffer.oldest or 0
        if y >= height - 1:
            self.action_follow()
        else:
            self.go_to_top_at(oldest + (buffer.size - oldest) * max(0, y) // (height - 1))

    def bar(self, y: int, base: Style) -> Strip:
        """Return what stands at the right of a row; an empty one as long as nobody knows how long the log is."""
        buffer = self.buffer
        top, bottom = self.seen
        if top == bottom or (buffer.oldest is None and not self.following):
            return Strip.blank(BAR, base)
        oldest = (buffer.begin or 0) if buffer.oldest is None else buffer.oldest
        bottom = buffer.size if self.following else bottom
        is_thumb = y in thumb(top, bottom, oldest, buffer.size, self.size.height)
        style = self.get_component_rich_style("log--bar", partial=True)
        return Strip.blank(BAR, base + style if is_thumb else base)
