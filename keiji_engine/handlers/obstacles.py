"""What is wrong with the files of a task: its sources, its build, its ``.env``, the interpreter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from keiji import names
from keiji.errors import KeijiError
from keiji.paths import Paths
from keiji.reasons import Code, Reason, reason
from keiji.records import Build, Task, TaskKind
from keiji_engine import builds
from keiji_engine.builds import command


def find_obstacles(task: Task, build: Build | None, paths: Paths) -> tuple[Reason, ...]:
    """Return what is wrong with the files of a task; reads them.

    Args:
        build: the active build; None if there is none, or its record cannot be read.
    """
    source = paths.source(task.slug)
    problem = _find_problem(build, paths)
    if not source.is_dir():
        # No build is possible, so the remedy for anything else is to put the sources back.
        cause = problem if task.build is not None else reason(Code.NOT_BUILT)
        return (reason(Code.SOURCES_MISSING, path=str(source), cause=cause),)
    return tuple(filter(None, (problem or _find_program(task, build, paths), *_check_env(task, source))))


def _find_problem(build: Build | None, paths: Paths) -> Reason | None:
    if build is None:
        return None
    if build.execution.kind is not TaskKind.PYTHON:
        is_missing = not (paths.builds / build.hash / command.SOURCES).is_dir()
        return reason(Code.BUILD_MISSING, build=build.hash) if is_missing else None
    interpreter, entry = Path(build.command[0]), Path(builds.command_of(build, paths.builds)[-2])
    if not entry.is_file():
        return reason(Code.BUILD_MISSING, build=build.hash)
    if not os.access(interpreter, os.X_OK):
        return reason(Code.INTERPRETER_MISSING, path=str(interpreter))
    return None


def _find_program(task: Task, build: Build | None, paths: Paths) -> Reason | None:
    """Return why the command of a task cannot be executed now; None if it can."""
    if build is None or build.execution.kind is TaskKind.PYTHON:
        return None
    execution, folder = build.execution, paths.builds / build.hash
    try:
        environment = builds.child_environment(paths.source(task.slug), os.environ, {}, defaults=execution.env)
        cwd = command.working_folder(execution, paths.work / task.slug, environment)
        if execution.cwd and not cwd.is_dir():
            return reason(Code.PROGRAM_MISSING, detail=f"the working folder {cwd} does not exist")
        values = command.all_values(execution.parameters, {})
        command.command_argv(build, folder, cwd=cwd, environment=environment, values=values)
    except command.ProgramNotFound as error:
        return reason(Code.PROGRAM_MISSING, detail=error.message)
    except KeijiError:
        return None  # the .env cannot be read, which is reported as such
    return None


def _check_env(task: Task, source: Path) -> Iterator[Reason]:
    try:
        builds.child_environment(source, {}, {})
    except KeijiError as error:
        yield reason(Code.ENV_INVALID, detail=error.message)
        return
    try:
        details = builds.read_details(source)
    except KeijiError:
        return  # the watcher reports an invalid task.toml
    if details.file != ".env":
        return  # task.toml is a source: the watcher reports that it differs from that of the build
    name, description = details.name or task.slug, details.description
    with suppress(KeijiError):  # an invalid name is another one, too, and the next build says why it is invalid
        name = names.validate(name)
    changed = [
        key
        for key, value, current in (("NAME", name, task.name), ("DESCRIPTION", description, task.description))
        if value != current
    ]
    if changed and task.build is not None:
        yield reason(Code.DETAILS_CHANGED, variables=" and ".join(changed))
