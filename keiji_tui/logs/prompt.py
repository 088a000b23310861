"""The prompt below a log, for a pattern or a path. Enter submits it; escape closes it."""

from __future__ import annotations

from enum import Enum

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Label

from keiji_tui.actions.action import Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine


class PromptKind(Enum):
    """What is entered, as (label, placeholder)."""

    FIND = ("find", "regular expression · case-sensitive if it contains capitals · esc closes")
    FILTER = ("only", "regular expression · prefix ! to exclude lines · empty for all lines")
    SAVE = ("save to", "path of a new file")


class LogPrompt(Vertical):
    """A label and an input, with an error message below."""

    BINDINGS = bindings(Scope.PROMPT)
    DEFAULT_CSS = """
    LogPrompt { display: none; height: auto; }
    LogPrompt.-shown { display: block; }
    LogPrompt > Horizontal { height: 1; background: $row-focused; }
    LogPrompt Label { padding: 0 1; color: $text-accent; }
    LogPrompt Input { width: 1fr; border: none; height: 1; padding: 0; background: $row-focused; }
    LogPrompt Input:focus { border: none; }
    LogPrompt AdaptiveLine { display: none; background: $banner-error; }
    LogPrompt AdaptiveLine.-shown { display: block; }
    """

    class Edited(Message):
        """The text was edited."""

        def __init__(self, kind: PromptKind, text: str) -> None:
            super().__init__()
            self.kind, self.text = kind, text

    class Submitted(Message):
        """The text was submitted with enter."""

        def __init__(self, kind: PromptKind, text: str) -> None:
            super().__init__()
            self.kind, self.text = kind, text

    class Cancelled(Message):
        """The prompt was closed with escape."""

    def __init__(self) -> None:
        super().__init__()
        self._error = AdaptiveLine(id="prompt-error")
        self.kind = PromptKind.FIND

    def compose(self) -> ComposeResult:
        field = Input(compact=True)
        field.cursor_blink = False
        with Horizontal():
            yield Label()
            yield field
        yield self._error

    def open(self, kind: PromptKind, text: str) -> None:
        """Show the prompt with ``text`` in it, and focus it."""
        self.kind = kind
        label, placeholder = kind.value
        self.query_one(Label).update(Content(label))
        field = self.query_one(Input)
        field.placeholder = placeholder
        with self.prevent(Input.Changed):
            field.value = text
        field.cursor_position = len(text)
        field.select_on_focus = kind is not PromptKind.SAVE
        self.show_error("")
        self.add_class("-shown")
        self.screen.set_focus(field)

    def close(self) -> None:
        """Hide the prompt."""
        self.remove_class("-shown")

    @property
    def is_open(self) -> bool:
        return self.has_class("-shown")

    @property
    def has_error(self) -> bool:
        return self._error.has_class("-shown")

    def show_error(self, reason: str) -> None:
        """Show why the text is invalid; "" removes the message."""
        line = self._error
        line.set_class(bool(reason), "-shown")
        line.set_variants((Content.assemble(("✗ ", "$text-error"), plain(reason)), Content("")))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Edited(self.kind, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Submitted(self.kind, event.value))

    def action_leave(self) -> None:
        """Close the prompt without submitting."""
        self.post_message(self.Cancelled())
