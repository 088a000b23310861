"""The line under a log in which an expression or a path is typed. Enter takes it; escape closes it."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Label

from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine


class PromptKind(Enum):
    """What is typed for, as (prompt, what stands there while nothing is)."""

    FIND = ("find", "regular expression · capitals count where there is one · esc closes")
    FILTER = ("only", "regular expression · ! in front: all but those · empty: every line")
    SAVE = ("save to", "path of a new file")


class LogPrompt(Vertical):
    """A prompt with an input, and under it what is wrong with what was typed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "close", show=False)]
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

    class Typed(Message):
        """Something else stands in the line now."""

        def __init__(self, asked: PromptKind, text: str) -> None:
            super().__init__()
            self.asked, self.text = asked, text

    class Taken(Typed):
        """Somebody pressed enter."""

    class Left(Message):
        """Somebody closed the line."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = PromptKind.FIND

    def compose(self) -> ComposeResult:
        field = Input(compact=True)
        field.cursor_blink = False
        with Horizontal():
            yield Label()
            yield field
        yield AdaptiveLine(id="log-wrong")

    def open(self, asked: PromptKind, text: str) -> None:
        """Let something be typed."""
        self.asked = asked
        self.query_one(Label).update(Content(asked.value[0]))
        field = self.query_one(Input)
        field.placeholder = asked.value[1]
        with self.prevent(Input.Changed):
            field.value = text
        field.cursor_position = len(text)
        field.select_on_focus = asked is not PromptKind.SAVE
        self.complain("")
        self.add_class("-shown")
        self.screen.set_focus(field)

    def close(self) -> None:
        """Take the line away."""
        self.remove_class("-shown")

    @property
    def is_open(self) -> bool:
        return self.has_class("-shown")

    @property
    def is_wrong(self) -> bool:
        """Whether something is wrong with what was typed."""
        return self.query_one(AdaptiveLine).has_class("-shown")

    def complain(self, reason: str) -> None:
        """Say what is wrong with what was typed; nothing for ""."""
        line = self.query_one(AdaptiveLine)
        line.set_class(bool(reason), "-shown")
        line.set_variants((Content.assemble(("✗ ", "$text-error"), plain(reason)), Content("")))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Typed(self.asked, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Taken(self.asked, event.value))

    def action_leave(self) -> None:
        """Close it without taking what was typed."""
        self.post_message(self.Left())
