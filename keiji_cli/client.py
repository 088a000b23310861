"""Access to the installation that a command works on: its paths, its settings, requests to its engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keiji.errors import KeijiError, WorkspaceMissing
from keiji.paths import Paths
from keiji.settings import Settings, load

if TYPE_CHECKING:
    from keiji.records import Pause
    from keiji_engine.bus.protocol import AnyReply, AnyRequest
    from keiji_engine.bus.reasons import Reason
    from keiji_engine.bus.views import TaskView

SENDER = "keiji"


def current_paths() -> Paths:
    """Return the paths that the environment variables select."""
    return Paths.from_environment()


def require_workspace() -> Paths:
    """Return the paths of the current workspace.

    Raises:
        WorkspaceMissing: it does not exist.
    """
    paths = current_paths()
    if not paths.settings.exists():
        raise WorkspaceMissing(f"there is no workspace in {paths.workspace}", hint="keiji init creates one")
    return paths


def load_settings(paths: Paths) -> Settings:
    """Return the settings of a workspace. Raises InvalidSettings as `keiji.settings.load` does."""
    return load(paths.settings)


def ask(paths: Paths, request: AnyRequest) -> AnyReply:
    """Send a request to the engine, or process it here if none runs. Raises a KeijiError."""
    from keiji_engine.client import facade

    return facade.ask(paths, request, sender=SENDER)


def execute(paths: Paths, directive: AnyRequest) -> tuple[str, ...]:
    """Execute a directive and return its output for the user. Raises a KeijiError."""
    from keiji_engine.bus.protocol import Done

    reply = ask(paths, directive)
    if not isinstance(reply, Done):
        raise KeijiError(f"the engine answered {type(reply).__name__} instead of Done")
    return reply.lines


def explain_task(paths: Paths, name: str) -> tuple[Reason, ...]:
    """Return the reasons why a task does not run now. Raises TaskNotFound or another KeijiError."""
    from keiji_engine.bus.protocol import Explain, Explained

    reply = ask(paths, Explain(task=name))
    if not isinstance(reply, Explained):
        raise KeijiError(f"the engine answered {type(reply).__name__} instead of Explained")
    return reply.reasons


def get_tasks(paths: Paths, name: str | None = None) -> tuple[TaskView, ...]:
    """Return the task called ``name``, or all tasks. Raises TaskNotFound or another KeijiError."""
    return get_tasks_and_pause(paths, name)[0]


def get_tasks_and_pause(paths: Paths, name: str | None = None) -> tuple[tuple[TaskView, ...], Pause | None]:
    """Return the tasks as `get_tasks` does, and the pause of the system; None if it is not paused."""
    from keiji_engine.bus.protocol import GetTasks, Tasks

    reply = ask(paths, GetTasks(task=name))
    if not isinstance(reply, Tasks):
        raise KeijiError(f"the engine answered {type(reply).__name__} instead of Tasks")
    return reply.tasks, reply.pause
