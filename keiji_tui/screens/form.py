"""The base class of forms: fields, what they mean as they are typed, a status line, and the buttons."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ScreenResultType
from textual.widgets import Button, Input, Static

from keiji_engine.bus.protocol import Directive
from keiji_tui.actions.action import Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.screens.dialogs import Modal
from keiji_tui.text.commands import command_line
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.form_field import FormField

_FRAME = 8  # cells of border and padding
_MAX_WIDTH = 76  # cells of the dialog, as in the style sheet
_MAX_LABEL_WIDTH = 28


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form: its name, its label, the initial text, and what an empty one shows."""

    name: str
    label: str
    value: str = ""
    placeholder: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a form cannot be submitted.

    Args:
        field: the name of the field to correct; "" if none is wrong.
        text: shown in the status line; "" if the preview says it already.
        is_error: whether it is a mistake, unlike something that is still missing.
    """

    field: str
    text: str = ""
    is_error: bool = True


class FormScreen(Modal[ScreenResultType]):
    """A form that sends one directive. It stays open until the engine has accepted the directive.

    Args:
        title: the first line.
        fields: the fields, from top to bottom.
        accept: the label of the button.
        busy: shown while the directive is in progress.
        submit: sends a directive and then calls `succeeded` or `failed`.
    """

    BINDINGS = bindings(Scope.FORM)

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        *,
        accept: str,
        busy: str,
        submit: Callable[[FormScreen[ScreenResultType], Directive], None],
    ) -> None:
        super().__init__()
        self._heading = title
        self._fields = tuple(fields)
        self._accept = accept
        self._busy = busy
        self._submit_directive = submit
        self._error = ""
        self._is_busy = False
        self.values = {each.name: each.value for each in fields}

    # ── what subclasses define ───────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def problem(self) -> Problem | None:
        """Return why the form cannot be submitted as it is; None if it can."""

    @abstractmethod
    def directive(self) -> Directive:
        """Return the directive to send. Called only if there is no problem."""

    def preview_text(self, width: int) -> Content:
        """Return what the input means, in lines of at most ``width`` cells."""
        return Content("")

    def changed(self) -> None:
        """React to a change of the fields; called before the form is painted."""

    @abstractmethod
    def cancelled(self) -> ScreenResultType | None:
        """Return the result of a form that is closed without being submitted."""

    # ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def compose(self) -> ComposeResult:
        widest = max((Content(plain(each.label)).cell_length for each in self._fields), default=0)
        width = min(widest + 2, _MAX_LABEL_WIDTH, max(8, self.app.size.width * 2 // 5))
        with Vertical(classes="dialog -wide -form"):
            with VerticalScroll(can_focus=False, id="form"):
                yield Static(Content.styled(plain(self._heading), "bold"), id="form-title")
                for each in self._fields:
                    yield FormField(each.name, each.label, each.value, each.placeholder, label_width=width)
                yield Static(id="preview")
                yield Static(id="form-status")
            with Horizontal(classes="buttons"):  # outside the scrolling part, so that they are always visible
                cancel = Content.assemble((BY_ID["form-cancel"].key, "bold $key"), " Cancel")
                yield Button(cancel, id="no", compact=True)
                yield Button(Content.assemble(("enter", "bold $key"), f" {self._accept}"), id="yes", compact=True)

    def on_mount(self) -> None:
        self.set_focus(self.query(Input).first())
        self.changed()
        self.show()

    def on_resize(self) -> None:
        self.show()

    def show(self) -> None:
        """Paint what depends on the fields."""
        if not self.is_mounted or not self.query("#preview"):
            return
        width = max(20, min(int(self.app.size.width * 0.96), _MAX_WIDTH) - _FRAME)
        problem = self.problem()
        preview = self.preview_text(width)
        for name, text in (("#preview", preview), ("#form-status", self._status_text(problem))):
            shown = self.query_one(name, Static)
            shown.display = bool(text)
            shown.update(text)
        self.query_one("#yes", Button).disabled = problem is not None or self._is_busy

    def _status_text(self, problem: Problem | None) -> Content:
        """Return why the form cannot be submitted, or the equivalent command if it can."""
        if self._is_busy:
            return Content.styled(self._busy, "$text-warning")
        if self._error:
            return Content.styled(f"✗ {self._error}", "$text-error")
        if problem is not None:
            colour = "$text-warning" if problem.is_error else "$text-muted"
            return Content("\n").join(Content.styled(plain(line), colour) for line in problem.text.splitlines())
        return Content.assemble(("$ ", "$text-muted"), (plain(command_line(self.directive())), "$text-accent"))

    # ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Input.Changed)
    def _input_changed(self, event: Input.Changed) -> None:
        clean = "".join(character for character in event.value if character.isprintable())
        if clean != event.value:
            event.input.value = clean  # strips control characters from pasted text; causes another event
            return
        name = event.input.id or ""
        if self.values.get(name) == event.value:
            return
        self.values[name] = event.value
        self._error = ""
        self.changed()
        self.show()

    @on(Input.Submitted)
    def _input_submitted(self) -> None:
        self.submit()

    @on(Button.Pressed)
    def _button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "no":
            self.action_cancel()
        else:
            self.submit()

    def submit(self) -> None:
        """Send the directive, or move the focus to the field that is invalid."""
        if self._is_busy:
            return
        problem = self.problem()
        if problem is None:
            self._is_busy = True
            self.show()
            self._submit_directive(self, self.directive())
        elif problem.field:
            self.set_focus(self.query_one(f"#{problem.field}", Input))

    def action_cancel(self) -> None:
        """Close the form without sending anything."""
        self.dismiss(self.cancelled())

    def failed(self, reason: str) -> None:
        """Show why the engine refused, and let the user correct the input."""
        self._is_busy = False
        self._error = "\n".join(plain(line) for line in reason.splitlines())
        if self.is_current:
            self.show()

    def succeeded(self) -> None:
        """Close the form after the directive was carried out."""
        self.dismiss(None)
