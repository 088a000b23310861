"""Runs a build manually, with the values of the task's ``.env``. The start script of a build executes this module."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from keiji.errors import KeijiError
from keiji.parameters import find_problem, signature
from keiji.records import Build, TaskKind
from keiji.run_context import parameter_variables
from keiji.standard_input import open_text
from keiji_engine.builds import command, entry
from keiji_engine.builds.builder import read_manifest
from keiji_engine.builds.entry import USAGE
from keiji_engine.builds.environment import read_env
from keiji_engine.builds.switch import source_of


def main(script: str, arguments: Sequence[str]) -> int:
    """Replace this process with the build that ``script`` belongs to; return an exit code only if that fails.

    Args:
        script: the start script of a build, or the link of a task to it. A script that was not started through a link
            belongs to no task, and so has no ``.env``.
        arguments: ``--run``, followed by parameters as NAME=VALUE, or ``--schedule``.
    """
    is_run = arguments[:1] == ["--run"] and all("=" in word[1:] for word in arguments[1:])
    if not is_run and list(arguments) != ["--schedule"]:
        print(USAGE.format(program=script), file=sys.stderr)  # noqa: T201
        return 2
    folder = Path(os.path.realpath(script)).parent
    source = source_of(Path(os.path.abspath(script)))
    try:
        build = read_manifest(folder)
        environment = os.environ | build.execution.env | (read_env(source) if source is not None else {})
        if build.execution.kind is not TaskKind.PYTHON:
            return _run_command(build, folder, environment, arguments)
        *interpreter, script_of_build, _ = build.command
        os.execve(interpreter[0], [*interpreter, str(folder / script_of_build), *arguments], environment)
    except (KeijiError, OSError, ValueError, KeyError) as error:
        print(f"{script} cannot be run: {error}", file=sys.stderr)  # noqa: T201
    return 1


def _run_command(build: Build, folder: Path, environment: dict[str, str], arguments: Sequence[str]) -> int:
    """Replace this process with the command of a task, or print when it is due. Raises KeijiError, OSError."""
    if list(arguments) == ["--schedule"]:
        return entry.show_schedule(str(folder / command.SOURCES))
    given = dict(word.split("=", 1) for word in arguments[1:])
    if problem := find_problem(build.execution.parameters, given):
        print(f"{problem}\n{signature('parameters', build.execution.parameters)}", file=sys.stderr)  # noqa: T201
        return 2
    values = command.all_values(build.execution.parameters, given)
    cwd = command.working_folder(build.execution, Path.cwd(), environment)
    environment |= parameter_variables(values) | {"KEIJI_BUILD": str(folder / command.SOURCES)}
    argv = command.command_argv(build, folder, cwd=cwd, environment=environment, values=values)
    os.chdir(cwd)
    if build.execution.stdin:
        os.dup2(open_text(build.execution.stdin), 0)
    return os.execve(argv[0], argv, environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
