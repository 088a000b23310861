"""The command of a command task: where its program and its working folder are, and its parameters in place.

No interpreter runs between the shim and the command.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from keiji.errors import KeijiError
from keiji.formats import quote
from keiji.parameters import Parameter
from keiji.records import Build, Execution, TaskKind

SOURCES = "src"  # the folder with the sources of a build
_IN_BUILD = "./"
_SHELL_CHARACTERS = re.compile(r"[\s|&;<>$`]")


class ProgramNotFound(KeijiError):
    """The program of a command does not exist, or cannot be executed."""


def working_folder(execution: Execution, default: Path, environment: Mapping[str, str]) -> Path:
    """Return the working folder of a run.

    Args:
        default: the task's own working folder.
        environment: that of the run; ``~`` is its HOME.
    """
    if not execution.cwd:
        return default
    if execution.cwd == "~" or execution.cwd.startswith("~/"):
        return Path(environment.get("HOME", "/")) / execution.cwd[2:]
    return Path(execution.cwd)


def find_program(program: str, sources: Path, cwd: Path, environment: Mapping[str, str]) -> Path:
    """Return the path of a program: ``./x`` is in the build, another relative path in ``cwd``, a name in PATH.

    Args:
        sources: the folder with the sources of the build.
        environment: that of the run.

    Raises:
        ProgramNotFound: it does not exist or is not executable; the message says where it was expected.
    """
    if "/" not in program:
        for folder in environment.get("PATH", os.defpath).split(os.pathsep):
            path = cwd / folder / program
            if folder and path.is_file() and os.access(path, os.X_OK):
                return path
        searched = environment.get("PATH", os.defpath)
        if _SHELL_CHARACTERS.search(program):
            hint = f"for a line that a shell executes, write shell = {quote(program)} instead of command"
        else:
            hint = f"for a program in the task's folder, write ./{program}"
        raise ProgramNotFound(f"there is no program {program!r} in PATH ({searched})", hint=hint)
    is_in_build = program.startswith(_IN_BUILD)
    path = sources / program[len(_IN_BUILD) :] if is_in_build else cwd / program
    shown = f"{program} in the task's folder" if is_in_build else str(path)
    if not path.exists():
        raise ProgramNotFound(f"{shown} does not exist")
    if path.is_dir():
        raise ProgramNotFound(f"{shown} is a folder")
    if not os.access(path, os.X_OK):
        hint = "make it executable: chmod +x"
        raise ProgramNotFound(f"{shown} is not executable", hint=hint)
    return path


def insert_parameters(
    argv: Sequence[str], parameters: Sequence[Parameter], values: Mapping[str, str]
) -> tuple[str, ...]:
    """Replace ``{name}`` in each element with the value of a declared parameter, once; other braces stay as they are.

    An element stays one element, whatever the value contains.
    """
    if not parameters:
        return tuple(argv)
    names = "|".join(re.escape(parameter.name) for parameter in parameters)
    pattern = re.compile(rf"\{{({names})\}}")
    return tuple(pattern.sub(lambda match: values[match[1]], word) for word in argv)


def all_values(parameters: Sequence[Parameter], given: Mapping[str, object]) -> dict[str, str]:
    """Return the value of each parameter of a command as text: as given, or else the default."""
    values = {parameter.name: parameter.default or "" for parameter in parameters}
    return values | {name: str(value) for name, value in given.items()}


def command_argv(
    build: Build, folder: Path, *, cwd: Path, environment: Mapping[str, str], values: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the argv that executes the build of a command task; its first element is an absolute path.

    Args:
        folder: the folder of the build.
        values: the value of each parameter; not used for a shell line, where they are variables.

    Raises:
        ProgramNotFound: as `find_program` does.
    """
    argv = build.command
    if build.execution.kind is TaskKind.COMMAND:
        argv = insert_parameters(argv, build.execution.parameters, values)
    return (str(find_program(argv[0], folder / SOURCES, cwd, environment)), *argv[1:])


def describe_command(build: Build, folder: Path) -> str:
    """Return the command for display, with the path of its program; "" for a Python task."""
    import shlex

    execution = build.execution
    if execution.kind is TaskKind.PYTHON:
        return ""
    program = execution.program or build.command[0]
    path = str(folder / SOURCES / program[len(_IN_BUILD) :]) if program.startswith(_IN_BUILD) else program
    return shlex.join((path, *build.command[1:]))
