"""Other programs that have the terminal for as long as they run: the person's editor and pager."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from keiji.errors import KeijiError

_HINT = "export EDITOR=nano, for example, in the file that your shell reads at its start"
_PAGER_HINT = "export PAGER=less, for example, in the file that your shell reads at its start"


def in_editor(app: App[Any], file: Path) -> None:
    """Open a file in $VISUAL or $EDITOR and return when that has ended; the terminal is not drawn meanwhile.

    Raises:
        KeijiError: neither is set, it cannot be started or failed, or there is no such file.
    """
    name = "VISUAL" if os.environ.get("VISUAL") else "EDITOR"
    command = _command(name, _HINT)
    if not command:
        raise KeijiError("there is no editor: neither $VISUAL nor $EDITOR is set", hint=_HINT)
    if not file.is_file():
        raise KeijiError(f"{file} is not there")
    code = _run(app, [*command, str(file)], _HINT)
    if code:
        raise KeijiError(f"{command[0]} ended with {code}")


def in_pager(app: App[Any], files: Sequence[Path]) -> None:
    """Open files at their end in $PAGER, less where it is not set, and return when that has ended.

    Raises:
        KeijiError: it cannot be started.
    """
    command = _command("PAGER", _PAGER_HINT) or ["less"]
    if Path(command[0]).name == "less" and len(command) == 1:
        command.append("+G")
    _run(app, [*command, *map(str, files)], _PAGER_HINT)


def _command(name: str, hint: str) -> list[str]:
    try:
        return shlex.split(os.environ.get(name, ""))
    except ValueError as error:
        raise KeijiError(f"${name} cannot be read: {error}", hint=hint) from error


def _run(app: App[Any], command: Sequence[str], hint: str) -> int:
    """Run a program and return its exit code. Raises KeijiError where it cannot be started."""
    if shutil.which(command[0]) is None:
        raise KeijiError(f"{command[0]} cannot be started: there is no such program", hint=hint)
    failure: OSError | None = None
    code = 0
    try:
        with app.suspend():
            # Nothing may leave this block but by its end: the toolkit would not take the terminal back.
            try:
                code = subprocess.run(command, check=False).returncode
            except OSError as error:
                failure = error
    except SuspendNotSupported as error:
        raise KeijiError("this terminal cannot be handed to another program", hint=shlex.join(command)) from error
    if failure is not None:
        raise KeijiError(f"{command[0]} cannot be started: {failure.strerror or failure}", hint=hint) from failure
    return code
