"""One action on all marked tasks: its plan, its confirmation, and the message with its outcome. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from keiji_engine.bus.protocol import Directive
from keiji_engine.bus.views import TaskView
from keiji_tui.actions.action import Action, ActionContext
from keiji_tui.actions.requests import Confirmation, directive_for
from keiji_tui.text.commands import command_line
from keiji_tui.text.format import format_count
from keiji_tui.text.sanitise import plain

BULK_ACTIONS = frozenset({"toggle", "pause", "restart", "run", "stop", "build", "resolve"})
_ENDING = frozenset({"stop", "disable", "restart"})
_MAX_NAMES = 420  # characters of names that fit a dialog at 80×24


def _never(_: TaskView) -> bool:
    return False


_IS_REVERSAL: dict[str, Callable[[TaskView], bool]] = {
    "toggle": lambda task: task.is_disabled,
    "pause": lambda task: task.pause is not None,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """The effect of an action on several tasks.

    Args:
        verb: the action, as the button labels it: "disable".
        steps: the directives to send, each with the task name.
        skipped: the names of tasks for which the action is disabled, each with the reason.
    """

    verb: str
    steps: tuple[tuple[Directive, str], ...]
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one step; ``error`` is "" if it succeeded."""

    name: str
    error: str = ""


def plan(action: Action, context: ActionContext, tasks: Sequence[TaskView]) -> Plan:
    """Return what ``action`` does to ``tasks``.

    A toggle has the same effect on all tasks: if any is enabled, all are disabled.
    """
    is_reversal = _IS_REVERSAL.get(action.id, _never)
    forward = [task for task in tasks if not is_reversal(task)]
    steps, skipped = [], []
    for task in tasks:
        task_context = replace(context, task=task)
        name = plain(task.name)
        reason = action.disabled_reason(task_context)
        if not reason and forward and is_reversal(task):
            reason = f"{name} is already {'disabled' if action.id == 'toggle' else 'paused'}"
        directive = None if reason else directive_for(action.id, task_context)
        if directive is None:
            skipped.append((name, plain(reason)))
        else:
            steps.append((directive, name))
    verb = action.current_label(replace(context, task=next(iter(forward or tasks), None)))
    return Plan(verb, tuple(steps), tuple(skipped))


def confirmation(plan: Plan) -> Confirmation:
    """Return the confirmation required before the directives of a plan are sent."""
    consequence = _join_names([name for _, name in plan.steps])
    if plan.skipped:
        consequence += f"\n\nSkipped: {_join_names([reason for _, reason in plan.skipped])}"
    if plan.verb in _ENDING:
        consequence += "\n\nThis stops their live runs."
    directive = plan.steps[0][0]
    more = f"  … and {len(plan.steps) - 1:,} more" if len(plan.steps) > 1 else ""
    title = f"{plan.verb.capitalize()} {format_count(len(plan.steps), 'marked task')}?"
    return Confirmation(title, consequence, f"{command_line(directive)}{more}", plan.verb.capitalize())


def summary(plan: Plan, results: Sequence[Result]) -> tuple[str, bool]:
    """Return a message with the outcome of a plan, and whether any step failed."""
    failed = [result for result in results if result.error]
    done = format_count(len(results) - len(failed), "task")
    lines = [f"{plan.verb}: {done} done" + (f", {len(failed)} failed" if failed else "")]
    lines += [f"✗ {result.name}: {result.error}" for result in failed[:5]]
    if len(failed) > 5:
        lines.append(f"… and {len(failed) - 5} more")
    if plan.skipped:
        lines.append(f"skipped: {_join_names([reason for _, reason in plan.skipped], 200)}")
    return "\n".join(lines), bool(failed)


def names_of(tasks: Sequence[TaskView]) -> str:
    """Return the names of tasks for the clipboard, one per line."""
    return "\n".join(plain(task.name) for task in tasks)


def commands_of(tasks: Sequence[TaskView]) -> str:
    """Return the commands that run tasks, one per line."""
    return "\n".join(
        command_line(directive) for task in tasks if (directive := directive_for("run", ActionContext(task=task)))
    )


def _join_names(names: Sequence[str], max_length: int = _MAX_NAMES) -> str:
    shown: list[str] = []
    for name in names:
        if sum(map(len, shown)) + 2 * len(shown) + len(name) > max_length and shown:
            return f"{', '.join(shown)} and {len(names) - len(shown):,} more"
        shown.append(name if len(name) < max_length else f"{name[:max_length]}…")
    return ", ".join(shown)
