"""Text over a screen, to be read, scrolled and closed."""

from __future__ import annotations

import textwrap
from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from keiji_tui.screens.dialogs import Modal

_WIDTH, _SHARE, _FRAME = 104, 0.96, 7  # as the style sheet has them; the frame with the scroll bar
_NARROWEST, _INDENT = 12, 4


class TextDialog(Modal[None]):
    """Lines of text, as wide as the terminal allows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "close", show=False),
        Binding("j,down", "scroll(1)", "down", show=False),
        Binding("k,up", "scroll(-1)", "up", show=False),
        Binding("ctrl+d,pagedown", "scroll(10)", "page down", show=False),
        Binding("ctrl+u,pageup", "scroll(-10)", "page up", show=False),
    ]

    _shown: Content | None = None

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog -page", can_focus=False):
            yield Static(id="page")

    def on_mount(self) -> None:
        self.show()

    def on_resize(self) -> None:
        self.show()

    def show(self) -> None:
        """Write the text anew where it differs; where one has scrolled to is kept."""
        if not self.query("#page"):
            return  # told before it is there; `on_mount` comes
        text = self.text(max(_NARROWEST, min(int(self.app.size.width * _SHARE), _WIDTH) - _FRAME))
        if self._shown is None or not text.is_same(self._shown):
            self._shown = text
            self.query_one("#page", Static).update(text)

    @abstractmethod
    def text(self, width: int) -> Content:
        """Return all of it, in lines of ``width`` cells."""

    def action_scroll(self, lines: int) -> None:
        """Scroll by so many lines."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def title(what: str, name: str = "") -> Content:
    """Return the first line: what this is, about what, and how to close it."""
    return Content.assemble((what, "$text-muted" if name else "bold"), (name, "bold"), ("  esc closes", "$text-muted"))


def section(name: str) -> Content:
    """Return a line that names what follows, with an empty one before."""
    return Content.styled(f"\n{name}", "bold $text-accent")


def hanging(first: Content, text: str, width: int, style: str) -> Iterator[Content]:
    """Yield the lines of ``text``, the first behind ``first`` and the others below it; all below where it is narrow."""
    indent = first.cell_length
    if text and width - indent < _NARROWEST:
        yield first
        first, indent = Content(" " * _INDENT), _INDENT
    for number, line in enumerate(textwrap.wrap(text, max(_NARROWEST, width - indent)) or [""]):
        yield Content.assemble(Content(" " * indent) if number else first, (line, style))
