"""The form for a new task: its name, its description, and its schedule, which is explained while it is typed."""

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

_LABELS = {"name": "name", "description": "for", "schedule": "when"}
_HOLDERS = {
    "name": "such as ping_google",
    "description": "what it does; may be empty",
    "schedule": "every 10 minutes · Fridays at 22:00 · */5 * * * *",
}
_FRAME = 8  # cells of border and padding


class NewTaskScreen(Modal[Draft]):
    """Returns what was typed, so that it is there again the next time; an empty draft once the task is created.

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
                        typed = getattr(self.draft, each.name)
                        field = Input(typed, placeholder=_HOLDERS[each.name], compact=True, id=each.name)
                        field.cursor_blink = False
                        yield field
                yield Static(id="preview")
                yield Static(id="wrong")
            with Horizontal(classes="buttons"):  # outside the part that scrolls, so that they are always visible
                yield Button(Content.assemble(("esc", "bold $key"), " Cancel"), id="no", compact=True)
                yield Button(Content.assemble(("enter", "bold $key"), " Create"), id="yes", compact=True)

    def on_mount(self) -> None:
        self.set_focus(self.query_one("#name", Input))
        self._show()

    def on_resize(self) -> None:
        self._show()

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def _show(self) -> None:
        found = preview(self.draft.schedule, self._clock(), self._store.zone)
        self.query_one("#preview", Static).update(self._previewed(found))
        self.query_one("#wrong", Static).update(self._noted(is_clear=not found.error))
        self.query_one("#yes", Button).disabled = bool(found.error or self._wrong_name or self._is_creating)

    @property
    def _wrong_name(self) -> str:
        return name_error(self.draft.name, self._store.tasks.values())

    def _previewed(self, found: Preview) -> Content:
        width = max(20, min(int(self.app.size.width * 0.96), 76) - _FRAME)
        lines = [Content.styled(found.description, "bold")] if found.description else []
        if found.interpreted_as:
            lines.append(Content.assemble(("taken as ", "$text-muted"), (plain(found.interpreted_as), "$text-accent")))
        if found.error:
            lines += [Content.styled(plain(line), "$text-warning") for line in found.error.splitlines()]
        lines += instants(found.instants, self._store.zone, self._clock(), width)
        return Content("\n").join(lines)

    def _noted(self, *, is_clear: bool) -> Content:
        """Return what prevents the creation, or else the equivalent command."""
        if self._is_creating:
            return Content.styled("creating and building …", "$text-warning")
        if self._error:
            return Content.styled(f"✗ {self._error}", "$text-error")
        wrong = self._wrong_name if self.draft.name.strip() else ""
        if wrong:
            return Content.styled(plain(wrong), "$text-warning")
        if not self.draft.name.strip():
            return Content.styled("it needs a name", "$text-muted")
        command = plain(self.draft.command())
        return Content.assemble(("$ ", "$text-muted"), (command, "$text-accent")) if is_clear else Content("")

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        clean = "".join(letter for letter in event.value if letter.isprintable())
        if clean != event.value:
            event.input.value = clean  # pasted text must not reach the terminal unfiltered; this leads to another event
            return
        self.draft = with_field(self.draft, event.input.id or "", event.value)
        self._error = ""
        self._show()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self._submit()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "no":
            self.action_cancel()
        else:
            self._submit()

    def _submit(self) -> None:
        """Create the task, or move the focus to the field that is invalid."""
        if self._is_creating:
            return
        if self._wrong_name:
            self.set_focus(self.query_one("#name", Input))
        elif preview(self.draft.schedule, self._clock(), self._store.zone).error:
            self.set_focus(self.query_one("#schedule", Input))
        else:
            self._is_creating = True
            self._show()
            self._create(self, self.draft)

    def action_cancel(self) -> None:
        """Close; the draft is kept for the next time."""
        self.dismiss(self.draft)

    def failed(self, reason: str) -> None:
        """Show why the task was not created."""
        self._is_creating = False
        self._error = "\n".join(plain(line) for line in reason.splitlines())
        if self.is_mounted and self.is_current:
            self._show()

    def succeeded(self) -> None:
        """Close, because the task exists now."""
        self.dismiss(Draft())
