"""The form for a new task: what it is called, what it runs, when and how, explained as it is typed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from textual.content import Content

from keiji.formats import zone_of
from keiji.policy import Policy
from keiji.policy_text import policy_of
from keiji_engine.bus.protocol import Directive
from keiji_tui.screens.base import ScreenContext
from keiji_tui.screens.form import Field, FormScreen, Problem
from keiji_tui.screens.instants import instants
from keiji_tui.state.draft import Draft, Preview, command_error, is_shell_line, name_error, policy_error, preview
from keiji_tui.text.sanitise import plain

_LABELS = {"name": "name", "description": "about", "command": "command", "schedule": "when", "policy": "policy"}
_PLACEHOLDERS = {
    "name": "for example: ping_google",
    "description": "what the task does (optional)",
    "command": "./backup.sh --full (empty: a function in Python)",
    "schedule": "every 10 minutes · Fridays at 22:00 · */5 * * * *",
    "policy": "timeout = 30m, retry.tries = 3, overlap = queue (optional)",
}
_OTHER_LINES = 19  # of the dialog, besides the due times


class NewTaskScreen(FormScreen[Draft]):
    """Returns the fields, so that they can be restored next time; an empty draft once the task is created.

    Args:
        draft: the initial contents of the fields.
        create: creates the task and then calls `succeeded` or `failed`.
    """

    def __init__(
        self, context: ScreenContext, draft: Draft, create: Callable[[FormScreen[Draft], Directive], None]
    ) -> None:
        values = asdict(draft)
        fields = [Field(name, label, values[name], _PLACEHOLDERS[name]) for name, label in _LABELS.items()]
        super().__init__("New task", fields, accept="Create", busy="creating and building …", submit=create)
        self._store = context.store
        self._clock = context.clock

    @property
    def draft(self) -> Draft:
        """The fields as typed."""
        return Draft(**self.values)

    def directive(self) -> Directive:
        return self.draft.directive()

    def problem(self) -> Problem | None:
        draft = self.draft
        if not draft.name.strip():
            return Problem("name", "enter a name", is_error=False)
        checks = {
            "name": name_error(draft.name, self._store.tasks.values()),
            "command": command_error(draft.command),
            "policy": policy_error(draft.policy),
        }
        for field, error in checks.items():
            if error:
                return Problem(field, error)
        return Problem("schedule") if self._preview.error else None

    @property
    def _policy(self) -> Policy:
        return Policy() if policy_error(self.draft.policy) else policy_of(self.draft.policy)

    @property
    def _preview(self) -> Preview:
        return preview(self.draft.schedule, self._clock(), self._store.zone, self._policy)

    def preview_text(self, width: int) -> Content:
        found, draft, muted = self._preview, self.draft, "$text-muted"
        lines = [Content.styled(found.description, "bold")] if found.description else []
        if found.interpreted_as and not draft.command.strip():
            lines.append(Content.assemble(("interpreted as ", muted), (plain(found.interpreted_as), "$text-accent")))
        if found.error:
            lines += [Content.styled(plain(line), "$text-warning") for line in found.error.splitlines()]
        notes = []
        if draft.command.strip() and not command_error(draft.command):
            notes.append("run by /bin/sh" if is_shell_line(draft.command) else "run without a shell")
        if draft.policy.strip() and not policy_error(draft.policy):
            notes.append(plain(self._policy.describe()))
        zone = zone_of(self._policy.tz or "", self._store.zone)
        room = max(1, self.app.size.height - _OTHER_LINES - bool(notes))
        lines += instants(found.instants[:room], zone, self._clock(), width)
        lines += [Content.styled(" · ".join(notes), muted)] if notes else []
        return Content("\n").join(lines)

    def cancelled(self) -> Draft:
        return self.draft

    def succeeded(self) -> None:
        """Close the form after the task was created."""
        self.dismiss(Draft())
