"""One line of a form: a label, and an input for one line of text."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Static

from keiji_tui.text.sanitise import plain


class FormField(Horizontal):
    """A label and an input.

    Args:
        name: the id of the input.
        label: shown in front of it.
        value: the initial text.
        placeholder: shown while the input is empty.
        label_width: in cells, including a gap of two.
    """

    def __init__(self, name: str, label: str, value: str, placeholder: str, *, label_width: int) -> None:
        super().__init__(classes="field")
        self._label = Static(Content.styled(plain(label), "$text-muted").truncate(label_width - 2, ellipsis=True))
        self._label.styles.width = label_width
        self.input = Input(value, placeholder=plain(placeholder), compact=True, id=name)
        self.input.cursor_blink = False

    def compose(self) -> ComposeResult:
        yield self._label
        yield self.input
