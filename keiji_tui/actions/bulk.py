"""One action on all marked tasks: what is asked once, what goes to the engine, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from keiji_engine.bus.protocol import Directive
from keiji_engine.bus.views import TaskView
from keiji_tui.actions.action import Action, ActionContext
from keiji_tui.actions.requests import Question, command_line, directive_for
from keiji_tui.text.format import format_count
from keiji_tui.text.sanitise import plain

BULK_ACTIONS = frozenset({"toggle", "pause", "restart", "run", "stop", "build", "resolve"})
_ENDING = frozenset({"stop", "disable", "restart"})
_ROOM = 420  # letters of names that a dialog has room for in 80×24


def _never(_: TaskView) -> bool:
    return False


_IS_BACK: dict[str, Callable[[TaskView], bool]] = {
    "toggle": lambda task: task.is_disabled,
    "pause": lambda task: task.pause is not None,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What an action means for several tasks.

    Args:
        word: what it does, as a button says it: "disable".
        steps: what is to be sent, each with the name of its task.
        left_out: names of tasks for which it is not possible now, each with the reason.
    """

    word: str
    steps: tuple[tuple[Directive, str], ...]
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """How one step ended; ``error`` is "" where it was carried out."""

    name: str
    error: str = ""


def plan(action: Action, action_context: ActionContext, tasks: Sequence[TaskView]) -> Plan:
    """Return what ``action`` means for ``tasks``.

    What has a way back goes one way for all of them: as long as one is enabled, all are disabled.
    """
    is_back = _IS_BACK.get(action.id, _never)
    forth = [task for task in tasks if not is_back(task)]
    steps, left_out = [], []
    for task in tasks:
        here = replace(action_context, task=task)
        name = plain(task.name)
        reason = action.blocked(here)
        if not reason and forth and is_back(task):
            reason = f"{name} is {'disabled' if action.id == 'toggle' else 'paused'} already"
        directive = None if reason else directive_for(action.id, here)
        if directive is None:
            left_out.append((name, plain(reason)))
        else:
            steps.append((directive, name))
    word = action.named(replace(action_context, task=next(iter(forth or tasks), None)))
    return Plan(word, tuple(steps), tuple(left_out))


def question(plan: Plan) -> Question:
    """Return what is asked before all of it is sent."""
    consequence = _listed([name for _, name in plan.steps])
    if plan.left_out:
        consequence += f"\n\nLeft out: {_listed([reason for _, reason in plan.left_out])}"
    if plan.word in _ENDING:
        consequence += "\n\nTheir runs that are under way are ended."
    directive = plan.steps[0][0]
    more = f"  … and {len(plan.steps) - 1:,} more" if len(plan.steps) > 1 else ""
    title = f"{plan.word.capitalize()} {format_count(len(plan.steps), 'marked task')}?"
    return Question(title, consequence, f"{command_line(directive)}{more}", plan.word.capitalize())


def told(plan: Plan, results: Sequence[Result]) -> tuple[str, bool]:
    """Return what came of it in words, and whether any of it failed."""
    failed = [result for result in results if result.error]
    done = format_count(len(results) - len(failed), "task")
    lines = [f"{plan.word}: {done} done" + (f", {len(failed)} refused" if failed else "")]
    lines += [f"✗ {result.name}: {result.error}" for result in failed[:5]]
    if len(failed) > 5:
        lines.append(f"… and {len(failed) - 5} more")
    if plan.left_out:
        lines.append(f"left out: {_listed([reason for _, reason in plan.left_out], 200)}")
    return "\n".join(lines), bool(failed)


def names_of(tasks: Sequence[TaskView]) -> str:
    """Return names as they are copied: each on a line of its own."""
    return "\n".join(plain(task.name) for task in tasks)


def commands_of(tasks: Sequence[TaskView]) -> str:
    """Return the commands that run tasks, each on a line of its own."""
    return "\n".join(
        command_line(directive) for task in tasks if (directive := directive_for("run", ActionContext(task=task)))
    )


def _listed(names: Sequence[str], room: int = _ROOM) -> str:
    shown: list[str] = []
    for name in names:
        if sum(map(len, shown)) + 2 * len(shown) + len(name) > room and shown:
            return f"{', '.join(shown)} and {len(names) - len(shown):,} more"
        shown.append(name if len(name) < room else f"{name[:room]}…")
    return ", ".join(shown)
