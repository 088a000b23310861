"""The form for a new task: its name, its description, and its schedule, explained as it is typed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Static

from keiji_tui.actions.action import Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.screens.base import ScreenContext
from keiji_tui.screens.dialogs import Modal
from keiji_tui.screens.instants import instants
from keiji_tui.state.draft import Draft, Preview, name_error, preview, with_field
from keiji_tui.text.sanitise import plain

_LABELS = {"name": "name", "description": "about", "schedule": "when"}
_PLACEHOLDERS = {
    "name": "for example: ping_google",
    "description": "what the task does (optional)",
    "schedule": "every 10 minutes · Fridays at 22:00 · */5 * * * *",
}
_FRAME = 8  # cells of border and padding


class NewTaskScreen(Modal[Draft]):
    """Returns the fields, so that they can be restored next time; an empty draft once the task is created.

    Args:
        draft: the initial contents of the fields.
        create: creates the task and then calls `succeeded` or `failed`.
    """

    BINDINGS = bindings(Scope.FORM)

    def __init__(self, context: ScreenContext, draft: Draft, create: Callable[[NewTaskScreen, Draft], None]) -> None:
        super().__init__()
        self._store = context.store
        self._clock = context.clock
        self._create = create
        self._error = ""
        self._is_creating = False
        self.draft = draft

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -wide", id="new-task"):
            with VerticalScroll(can_focus=False, id="form"):
                yield Static(Content.styled("New task", "bold"))
                for each in fields(Draft):
                    with Horizontal(classes="field", id=f"{each.name}-field"):
                        yield Static(Content.styled(_LABELS[each.name], "$text-muted"), classes="label")
                        value = getattr(self.draft, each.name)
                        field = Input(value, placeholder=_PLACEHOLDERS[each.name], compact=True, id=each.name)
                        field.cursor_blink = False
                        yield field
                yield Static(id="preview")
                yield Static(id="form-status")
            with Horizontal(classes="buttons"):  # outside the scrolling part, so that they are always visible
                yield Button(Content.assemble(("esc", "bold $key"), " Cancel"), id="no", compact=True)
                yield Button(Content.assemble(("enter", "bold $key"), " Create"), id="yes", compact=True)

    def on_mount(self) -> None:
        self.set_focus(self.query_one("#name", Input))
        self._show()

    def on_resize(self) -> None:
        self._show()

    # ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _show(self) -> None:
        found = preview(self.draft.schedule, self._clock(), self._store.zone)
        self.query_one("#preview", Static).update(self._preview_text(found))
        self.query_one("#form-status", Static).update(self._status_text(is_valid=not found.error))
        self.query_one("#yes", Button).disabled = bool(found.error or self._name_error or self._is_creating)

    @property
    def _name_error(self) -> str:
        return name_error(self.draft.name, self._store.tasks.values())

    def _preview_text(self, found: Preview) -> Content:
        width = max(20, min(int(self.app.size.width * 0.96), 76) - _FRAME)
        lines = [Content.styled(found.description, "bold")] if found.description else []
        if found.interpreted_as:
            lines.append(
                Content.assemble(("interpreted as ", "$text-muted"), (plain(found.interpreted_as), "$text-accent"))
            )
        if found.error:
            lines += [Content.styled(plain(line), "$text-warning") for line in found.error.splitlines()]
        lines += instants(found.instants, self._store.zone, self._clock(), width)
        return Content("\n").join(lines)

    def _status_text(self, *, is_valid: bool) -> Content:
        """Return why the task cannot be created, or the equivalent command if it can."""
        if self._is_creating:
            return Content.styled("creating and building …", "$text-warning")
        if self._error:
            return Content.styled(f"✗ {self._error}", "$text-error")
        name_error = self._name_error if self.draft.name.strip() else ""
        if name_error:
            return Content.styled(plain(name_error), "$text-warning")
        if not self.draft.name.strip():
            return Content.styled("enter a name", "$text-muted")
        command = plain(self.draft.command())
        return Content.assemble(("$ ", "$text-muted"), (command, "$text-accent")) if is_valid else Content("")

    # ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Input.Changed)
    def _input_changed(self, event: Input.Changed) -> None:
        clean = "".join(character for character in event.value if character.isprintable())
        if clean != event.value:
            event.input.value = clean  # strips control characters from pasted text; causes another event
            return
        self.draft = with_field(self.draft, event.input.id or "", event.value)
        self._error = ""
        self._show()

    @on(Input.Submitted)
    def _input_submitted(self) -> None:
        self._submit()

    @on(Button.Pressed)
    def _button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "no":
            self.action_cancel()
        else:
            self._submit()

    def _submit(self) -> None:
        """Create the task, or move the focus to the field that is invalid."""
        if self._is_creating:
            return
        if self._name_error:
            self.set_focus(self.query_one("#name", Input))
        elif preview(self.draft.schedule, self._clock(), self._store.zone).error:
            self.set_focus(self.query_one("#schedule", Input))
        else:
            self._is_creating = True
            self._show()
            self._create(self, self.draft)

    def action_cancel(self) -> None:
        """Close the form, and keep the draft for next time."""
        self.dismiss(self.draft)

    def failed(self, reason: str) -> None:
        """Show why the task was not created."""
        self._is_creating = False
        self._error = "\n".join(plain(line) for line in reason.splitlines())
        if self.is_mounted and self.is_current:
            self._show()

    def succeeded(self) -> None:
        """Close the form after the task was created."""
        self.dismiss(Draft())
