"""Which installation a command is about, and how it asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keiji.errors import WorkspaceMissing
from keiji.paths import Paths
from keiji.settings import Settings, load

if TYPE_CHECKING:
    from keiji.reasons import Reason
    from keiji.records import Pause
    from keiji_engine.bus.protocol import Directive, R, Request
    from keiji_engine.bus.views import TaskView

SENDER = "keiji"


def paths() -> Paths:
    """Return the paths that the environment names."""
    return Paths.from_environment()


def workspace() -> Paths:
    """Return the paths of a workspace that is there.

    Raises:
        WorkspaceMissing: it is not.
    """
    found = paths()
    if not found.settings.exists():
        raise WorkspaceMissing(f"there is no workspace in {found.workspace}", hint="keiji init creates it")
    return found


def settings(of: Paths) -> Settings:
    """Return the settings of a workspace. Raises InvalidSettings as `keiji.settings.load` does."""
    return load(of.settings)


def ask(of: Paths, request: Request[R]) -> R:
    """Have a request carried out, by the engine or, where none runs, in its place. Raises a KeijiError."""
    from keiji_engine.client.facade import ask as carry_out

    return carry_out(of, request, sender=SENDER)


def carry_out(of: Paths, directive: Directive) -> tuple[str, ...]:
    """Have a directive carried out to its end and return what it says to people. Raises a KeijiError."""
    return ask(of, directive).lines


def explained(of: Paths, name: str) -> tuple[str, tuple[Reason, ...]]:
    """Return the slug of a task, and why it does not run now. Raises TaskNotFound, or another KeijiError."""
    from keiji_engine.bus.protocol import Explain

    reply = ask(of, Explain(task=name))
    return reply.task, reply.reasons


def tasks(of: Paths, name: str | None = None) -> tuple[TaskView, ...]:
    """Return the task called ``name``, or all of them. Raises TaskNotFound, or another KeijiError."""
    return tasks_and_pause(of, name)[0]


def tasks_and_pause(of: Paths, name: str | None = None) -> tuple[tuple[TaskView, ...], Pause | None]:
    """Return `tasks`, and the pause of everything; None where there is none."""
    from keiji_engine.bus.protocol import GetTasks

    reply = ask(of, GetTasks(task=name))
    return reply.tasks, reply.pause
