"""Dialogs with text to read and scroll, and the lines that such text is made of."""

from __future__ import annotations

import textwrap
from abc import abstractmethod
from collections.abc import Iterator

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from keiji_tui.actions.action import Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.screens.dialogs import Modal

_WIDTH, _SHARE, _FRAME = 104, 0.96, 7  # as in the style sheet; the frame includes the scroll bar
_MIN_WIDTH, _INDENT = 12, 4


class TextDialog(Modal[None]):
    """Lines of text, as wide as the terminal allows."""

    BINDINGS = bindings(Scope.DIALOG)

    _shown: Content | None = None

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog -page", can_focus=False):
            yield Static(id="page")

    def on_mount(self) -> None:
        self.show()

    def on_resize(self) -> None:
        self.show()

    def show(self) -> None:
        """Update the text if it has changed; the scroll position stays."""
        if not self.query("#page"):
            return  # not composed yet; `on_mount` calls this again
        text = self.text(self.text_width)
        if self._shown is None or not text.is_same(self._shown):
            self._shown = text
            self.query_one("#page", Static).update(text)

    @property
    def text_width(self) -> int:
        """The width of a line in cells."""
        return max(_MIN_WIDTH, min(int(self.app.size.width * _SHARE), _WIDTH) - _FRAME)

    @abstractmethod
    def text(self, width: int) -> Content:
        """Return the whole text, in lines of up to ``width`` cells."""

    def action_scroll(self, lines: int) -> None:
        """Scroll by a number of lines."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def title(what: str, name: str = "") -> Content:
    """Return the first line: the kind of dialog, its subject, and how to close it."""
    return Content.assemble((what, "$text-muted" if name else "bold"), (name, "bold"), close_hint())


def close_hint() -> Content:
    """Return the end of a title, which says how to close the dialog."""
    return Content.styled(f"  {BY_ID['close'].key} closes", "$text-muted")


def section(name: str) -> Content:
    """Return the heading of a section, after an empty line."""
    return Content.styled(f"\n{name}", "bold $text-accent")


def hanging(first: Content, text: str, width: int, style: str) -> Iterator[Content]:
    """Yield the lines of ``text`` with a hanging indent after ``first``; in a narrow space, all go below it."""
    indent = first.cell_length
    if text and width - indent < _MIN_WIDTH:
        yield first
        first, indent = Content(" " * _INDENT), _INDENT
    for number, line in enumerate(textwrap.wrap(text, max(_MIN_WIDTH, width - indent)) or [""]):
        yield Content.assemble(Content(" " * indent) if number else first, (line, style))
