"""Asks before harm is done. The focus is on Cancel; where a lot goes, the name has to be typed."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Static

from keiji_tui.actions.requests import Question
from keiji_tui.screens.dialogs import Modal
from keiji_tui.text.sanitise import plain


class ConfirmScreen(Modal[bool]):
    """Returns whether the person said yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes", show=False),
        Binding("n,escape,q", "answer(False)", "no", show=False),
        Binding("left,right", "app.focus_next", "other button", show=False),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        asked = self._question
        text = Content.assemble(
            (f"{plain(asked.title)}\n\n", "bold"), asked.consequence, "\n\n",
            ("On the command line: ", "$text-muted"), (plain(asked.command), "$text-accent"),
        )  # fmt: skip
        with Vertical(classes="dialog -harm" if asked.typed else "dialog"):
            yield Static(text)
            if asked.typed:
                field = Input(placeholder="type the name of the task", compact=True)
                field.cursor_blink = False
                yield field
            with Horizontal(classes="buttons"):
                yield Button(_label("n", "Cancel", typed=asked.typed), id="no", compact=True)
                yes = Button(_label("y", asked.accept, typed=asked.typed), id="yes", compact=True)
                yes.disabled = bool(asked.typed)
                yield yes

    def on_mount(self) -> None:
        self.set_focus(self.query_one(Input if self._question.typed else "#no"))

    def action_answer(self, is_yes: bool) -> None:
        """Close with an answer; y alone does not do where the name has to be typed."""
        if is_yes and self.query_one("#yes", Button).disabled:
            return
        self.dismiss(is_yes)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self.query_one("#yes", Button).disabled = not self._fits(event.value)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if self._fits(event.value):
            self.dismiss(True)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def _fits(self, typed: str) -> bool:
        return typed.strip() in (self._question.typed, plain(self._question.typed).strip())


def _label(key: str, word: str, *, typed: str) -> Content:
    return Content(word) if typed else Content.assemble((key, "bold $key"), f" {word}")
