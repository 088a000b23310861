"""The base class of dialogs, and two small ones: a confirmation and the reason for a pause."""

from __future__ import annotations

from datetime import datetime

from textual import events, on
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen, ScreenResultType
from textual.widgets import Button, Input, Static

from keiji_engine.bus.protocol import PauseSystem
from keiji_tui.actions.action import Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.actions.requests import Confirmation
from keiji_tui.terminal.sizes import ignore_outdated_size
from keiji_tui.text.commands import command_line
from keiji_tui.text.sanitise import plain

MAX_REASON_LENGTH = 200


class Modal(ModalScreen[ScreenResultType]):
    """A dialog that can be closed only once, however fast its keys are pressed.

    If a dialog were dismissed twice, Textual would also close the screen below.
    """

    @on(events.Resize)
    def _ignore_outdated_size(self, event: events.Resize) -> None:
        ignore_outdated_size(self, event)

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        return super().dismiss(result) if self.is_current else AwaitComplete()

    def paint(self, now: datetime) -> None:
        """Repaint from the store, as of ``now``; by default, a dialog shows nothing of it."""


class ConfirmScreen(Modal[bool]):
    """Asks for confirmation, and returns whether it was given.

    The focus is on Cancel; the riskiest actions require the name to be typed.
    """

    BINDINGS = bindings(Scope.CONFIRMATION)

    def __init__(self, confirmation: Confirmation) -> None:
        super().__init__()
        self._confirmation = confirmation

    def compose(self) -> ComposeResult:
        confirmation = self._confirmation
        text = Content.assemble(
            (f"{plain(confirmation.title)}\n\n", "bold"), confirmation.consequence, "\n\n",
            ("On the command line: ", "$text-muted"), (plain(confirmation.command), "$text-accent"),
        )  # fmt: skip
        is_typed = bool(confirmation.required_text)
        with Vertical(classes="dialog -harm" if is_typed else "dialog"):
            yield Static(text)
            if is_typed:
                field = Input(placeholder="type the name of the task", compact=True)
                field.cursor_blink = False
                yield field
            with Horizontal(classes="buttons"):
                yield Button(_label("" if is_typed else BY_ID["cancel"].key, "Cancel"), id="no", compact=True)
                yes = Button(
                    _label("" if is_typed else BY_ID["confirm"].key, confirmation.accept), id="yes", compact=True
                )
                yes.disabled = is_typed
                yield yes

    def on_mount(self) -> None:
        self.set_focus(self.query_one(Input if self._confirmation.required_text else "#no"))

    def action_answer(self, is_yes: bool) -> None:
        """Close with an answer; yes has no effect until the required text has been typed."""
        if is_yes and self.query_one("#yes", Button).disabled:
            return
        self.dismiss(is_yes)

    @on(Input.Changed)
    def _input_changed(self, event: Input.Changed) -> None:
        self.query_one("#yes", Button).disabled = not self._matches(event.value)

    @on(Input.Submitted)
    def _input_submitted(self, event: Input.Submitted) -> None:
        if self._matches(event.value):
            self.dismiss(True)

    @on(Button.Pressed)
    def _button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def _matches(self, text: str) -> bool:
        required = self._confirmation.required_text
        return text.strip() in (required, plain(required).strip())


class ReasonScreen(Modal[str | None]):
    """Asks for the reason for a pause; returns it (possibly empty), or None if the user cancels."""

    BINDINGS = bindings(Scope.FORM)

    def compose(self) -> ComposeResult:
        text = Content.assemble(
            ("Pause everything?\n\n", "bold"),
            "No scheduled run starts until you resume; runs missed in the meantime are skipped. ",
            "Live runs continue. Press ", (BY_ID["pause-all"].key, "bold $key"), " to resume.",
        )  # fmt: skip
        with Vertical(classes="dialog"):
            yield Static(text)
            placeholder = "reason, shown to all users (optional)"
            field = Input(placeholder=placeholder, compact=True, max_length=MAX_REASON_LENGTH)
            field.cursor_blink = False
            yield field
            yield Static(id="command")
            with Horizontal(classes="buttons"):
                yield Button(_label(BY_ID["form-cancel"].key, "Cancel"), id="no", compact=True)
                yield Button(_label("enter", "Pause"), id="yes", compact=True)

    def on_mount(self) -> None:
        self._show_command("")
        self.set_focus(self.query_one(Input))

    def _show_command(self, reason: str) -> None:
        command = plain(command_line(PauseSystem(reason=reason)))
        parts = (("On the command line: ", "$text-muted"), (command, "$text-accent"))
        self.query_one("#command", Static).update(Content.assemble(*parts))

    def action_cancel(self) -> None:
        """Close without pausing."""
        self.dismiss(None)

    @on(Input.Changed)
    def _input_changed(self, event: Input.Changed) -> None:
        self._show_command(event.value.strip())

    @on(Input.Submitted)
    def _input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())

    @on(Button.Pressed)
    def _button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(self.query_one(Input).value.strip() if event.button.id == "yes" else None)


def _label(key: str, word: str) -> Content:
    return Content.assemble((key, "bold $key"), f" {word}") if key else Content(word)
