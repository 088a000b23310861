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
from keiji.records import Build, Task
from keiji_engine import builds


def find_obstacles(task: Task, build: Build | None, paths: Paths) -> tuple[Reason, ...]:
    """Return what is wrong with the files of a task; reads them.

    Args:
        build: the active build; None if there is none.
    """
    source = paths.source(task.slug)
    problem = _find_problem(build, paths)
    if not source.is_dir():
        # No build is possible, so the remedy for anything else is to put the sources back.
        cause = problem if build is not None else reason(Code.NOT_BUILT)
        return (reason(Code.SOURCES_MISSING, path=str(source), cause=cause),)
    return tuple(filter(None, (problem, *_check_env(task, source))))


def _find_problem(build: Build | None, paths: Paths) -> Reason | None:
    if build is None:
        return None
    interpreter, entry = Path(build.command[0]), Path(builds.command_of(build, paths.builds)[-2])
    if not entry.is_file():
        return reason(Code.BUILD_MISSING, build=build.hash)
    if not os.access(interpreter, os.X_OK):
        return reason(Code.INTERPRETER_MISSING, path=str(interpreter))
    return None


def _check_env(task: Task, source: Path) -> Iterator[Reason]:
    try:
        builds.child_environment(source, {}, {})
        values = builds.read_env(source)
    except KeijiError as error:
        yield reason(Code.ENV_INVALID, detail=error.message)
        return
    name, description = values.get("NAME") or task.slug, names.one_line(values.get("DESCRIPTION", ""))
    with suppress(KeijiError):  # an invalid name is another one, too, and the next build says why it is invalid
        name = names.validate(name)
    changed = [
        key
        for key, value, current in (("NAME", name, task.name), ("DESCRIPTION", description, task.description))
        if value != current
    ]
    if changed and task.build is not None:
        yield reason(Code.DETAILS_CHANGED, variables=" and ".join(changed))
