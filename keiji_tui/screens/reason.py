"""Asks why everything is to be paused, and says what that does."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Static

from keiji_engine.bus.protocol import PauseSystem
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.actions.requests import command_line
from keiji_tui.screens.dialogs import Modal
from keiji_tui.text.sanitise import plain

LONGEST = 200


class ReasonScreen(Modal[str | None]):
    """Returns the reason, which may be empty; None where nothing is to be done."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "cancel", show=False),
        Binding("down", "app.focus_next", "next", show=False),
        Binding("up", "app.focus_previous", "previous", show=False),
    ]

    def compose(self) -> ComposeResult:
        text = Content.assemble(
            ("Pause everything?\n\n", "bold"),
            "Nothing that is due is started until somebody resumes; it is skipped, and not caught up with. ",
            "What runs goes on; ", (BY_ID["pause-all"].key, "bold $key"), " resumes.",
        )  # fmt: skip
        with Vertical(classes="dialog"):
            yield Static(text)
            field = Input(placeholder="why? everybody is shown it; may be empty", compact=True, max_length=LONGEST)
            field.cursor_blink = False
            yield field
            yield Static(id="command")
            with Horizontal(classes="buttons"):
                yield Button(Content.assemble(("esc", "bold $key"), " Cancel"), id="no", compact=True)
                yield Button(Content.assemble(("enter", "bold $key"), " Pause"), id="yes", compact=True)

    def on_mount(self) -> None:
        self._show_command("")
        self.set_focus(self.query_one(Input))

    def _show_command(self, reason: str) -> None:
        command = plain(command_line(PauseSystem(reason=reason)))
        parts = (("On the command line: ", "$text-muted"), (command, "$text-accent"))
        self.query_one("#command", Static).update(Content.assemble(*parts))

    def action_cancel(self) -> None:
        """Close without doing anything."""
        self.dismiss(None)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._show_command(event.value.strip())

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(self.query_one(Input).value.strip() if event.button.id == "yes" else None)
