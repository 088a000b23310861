"""Access to the current workspace: its paths, its settings, and requests to its engine."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from keiji import engine_process
from keiji.errors import InvalidSettings, KeijiError, WorkspaceMissing
from keiji.paths import Paths
from keiji.settings import Settings, load
from keiji.workspace import find_task_folders

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keiji.records import Pause
    from keiji_engine.bus.protocol import Directive, R, Request
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
        raise WorkspaceMissing(f"there is no workspace in {paths.workspace}", hint="keiji init creates it")
    return paths


def load_settings(paths: Paths) -> Settings:
    """Return the settings of a workspace. Raises InvalidSettings as `keiji.settings.load` does."""
    return load(paths.settings)


def display_zone(paths: Paths) -> tzinfo:
    """Return the zone in which to show times. If the settings are invalid, it is that of a running engine.

    Raises:
        InvalidSettings: the settings are invalid, and no engine can be asked.
    """
    try:
        return load(paths.settings).zone
    except InvalidSettings:
        from keiji_engine.bus.protocol import Ping
        from keiji_engine.client import facade

        if not engine_process.is_running(paths):
            raise
        try:
            return ZoneInfo(facade.ask(paths, Ping(), sender=SENDER, timeout=2.0).engine.time_zone)
        except (KeijiError, ZoneInfoNotFoundError):
            return UTC


def ask(paths: Paths, request: Request[R]) -> R:
    """Send a request to the engine, or process it in this process if none is running. Raises KeijiError."""
    from keiji_engine.client import facade

    return facade.ask(paths, request, sender=SENDER)


def execute(paths: Paths, directive: Directive) -> tuple[str, ...]:
    """Execute a directive and return its output for the user. Raises KeijiError."""
    return ask(paths, directive).lines


def get_tasks(paths: Paths, name: str | None = None) -> tuple[TaskView, ...]:
    """Return the task called ``name``, or all tasks. Raises TaskNotFound or another KeijiError."""
    return get_tasks_and_pause(paths, name)[0]


def get_tasks_and_pause(paths: Paths, name: str | None = None) -> tuple[tuple[TaskView, ...], Pause | None]:
    """Return the tasks as `get_tasks` does, and the pause of the system; None if it is not paused."""
    from keiji_engine.bus.protocol import GetTasks

    reply = ask(paths, GetTasks(task=name))
    return reply.tasks, reply.pause


def find_unregistered(paths: Paths, tasks: Iterable[TaskView]) -> list[str]:
    """Return the folders under ``tasks/`` that contain the sources of a task but belong to none of ``tasks``."""
    known = {task.slug for task in tasks}
    try:
        return [folder for folder in find_task_folders(paths.tasks) if folder not in known]
    except OSError:
        return []
