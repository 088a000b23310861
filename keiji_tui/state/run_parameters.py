"""The form for the parameters of a run: its labels and placeholders, and what is wrong with the values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keiji.parameters import Parameter, find_problem
from keiji_engine.bus.protocol import RunTask
from keiji_engine.bus.views import TaskView
from keiji_tui.text.commands import SENDER


def label(parameter: Parameter) -> str:
    """Return a parameter without its default: "day: date"."""
    return f"{parameter.name}: {parameter.annotation}" if parameter.annotation else parameter.name


def placeholder(parameter: Parameter) -> str:
    """Return what an empty field stands for: "default 2026-11-01", "default False (yes or no)" or "required"."""
    default = "required" if parameter.default is None else f"default {parameter.default or 'empty'}"
    expected = {"choice": " or ".join(parameter.choices), "bool": "yes or no"}.get(parameter.type, "")
    return f"{default} ({expected})" if expected else default


def given_values(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that have a value; an empty field keeps the default."""
    return {name: text for name, text in texts.items() if text}


def find_error(parameters: Sequence[Parameter], texts: Mapping[str, str]) -> tuple[str, str, bool]:
    """Return the first parameter with an unacceptable value, why it is, and whether the value is only missing.

    An invalid value comes before a missing one. The texts are empty if all values are acceptable.
    """
    values = given_values(texts)
    for each in parameters:
        if each.name in values and (problem := find_problem((each,), {each.name: values[each.name]})):
            return each.name, problem, False
    missing = next((each for each in parameters if each.default is None and each.name not in values), None)
    if missing is not None:
        return missing.name, f"{missing.name} is required", True
    return "", "", False


def run_directive(task: TaskView, params: Mapping[str, str]) -> RunTask:
    """Return the directive that runs ``task`` with these parameters."""
    return RunTask(task=task.slug, params=dict(params), sender=SENDER)
