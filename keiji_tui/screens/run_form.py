"""The form for a run of a task that has parameters: one field per parameter."""

from __future__ import annotations

from collections.abc import Callable

from keiji_engine.bus.protocol import Directive
from keiji_engine.bus.views import TaskView
from keiji_tui.screens.form import Field, FormScreen, Problem
from keiji_tui.state.run_parameters import find_error, given_values, label, placeholder, run_directive

_PREFIX = "parameter-"  # of the ids of fields, followed by the position: a name may contain any letter


class RunFormScreen(FormScreen[None]):
    """Runs a task with the parameters that the user enters; empty fields keep their defaults."""

    def __init__(self, task: TaskView, submit: Callable[[FormScreen[None], Directive], None]) -> None:
        self._view = task
        fields = [
            Field(f"{_PREFIX}{number}", label(parameter), placeholder=placeholder(parameter))
            for number, parameter in enumerate(task.parameters)
        ]
        super().__init__(f"Run {task.name}", fields, accept="Run", busy="starting …", submit=submit)

    @property
    def _texts(self) -> dict[str, str]:
        return {each.name: self.values[f"{_PREFIX}{number}"] for number, each in enumerate(self._view.parameters)}

    def problem(self) -> Problem | None:
        name, error, is_missing = find_error(self._view.parameters, self._texts)
        if not error:
            return None
        number = next((number for number, each in enumerate(self._view.parameters) if each.name == name), 0)
        return Problem(f"{_PREFIX}{number}", error, is_error=not is_missing)

    def directive(self) -> Directive:
        return run_directive(self._view, given_values(self._texts))

    def cancelled(self) -> None:
        return None
