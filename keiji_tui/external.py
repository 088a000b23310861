"""Other programs that use the terminal while they run: the user's editor and pager."""

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

_EDITOR_HINT = "add a line such as export EDITOR=nano to the startup file of your shell"
_PAGER_HINT = "add a line such as export PAGER=less to the startup file of your shell"


def open_in_editor(app: App[Any], file: Path) -> None:
    """Open a file in $VISUAL or $EDITOR and return when the editor exits. The terminal is not updated meanwhile.

    Raises:
        KeijiError: neither variable is set, the editor cannot be started or fails, or the file does not exist.
    """
    name = "VISUAL" if os.environ.get("VISUAL") else "EDITOR"
    command = _command(name, _EDITOR_HINT)
    if not command:
        raise KeijiError("there is no editor: neither $VISUAL nor $EDITOR is set", hint=_EDITOR_HINT)
    if not file.is_file():
        raise KeijiError(f"{file} does not exist")
    code = _run(app, [*command, str(file)], _EDITOR_HINT)
    if code:
        raise KeijiError(f"{command[0]} exited with code {code}")


def open_in_pager(app: App[Any], files: Sequence[Path]) -> None:
    """Open files at their end in $PAGER, by default less, and return when the pager exits.

    Raises:
        KeijiError: the pager cannot be started.
    """
    command = _command("PAGER", _PAGER_HINT) or ["less"]
    if Path(command[0]).name == "less" and len(command) == 1:
        command.append("+G")
    _run(app, [*command, *map(str, files)], _PAGER_HINT)


def _command(name: str, hint: str) -> list[str]:
    try:
        return shlex.split(os.environ.get(name, ""))
    except ValueError as error:
        raise KeijiError(f"${name} is invalid: {error}", hint=hint) from error


def _run(app: App[Any], command: Sequence[str], hint: str) -> int:
    """Run a program and return its exit code. Raises KeijiError if it cannot be started."""
    if shutil.which(command[0]) is None:
        raise KeijiError(f"cannot start {command[0]}: command not found", hint=hint)
    failure: OSError | None = None
    code = 0
    try:
        with app.suspend():
            # An exception that leaves this block would keep the application from taking the terminal back.
            try:
                code = subprocess.run(command, check=False).returncode
            except OSError as error:
                failure = error
    except SuspendNotSupported as error:
        raise KeijiError("this terminal cannot run other programs", hint=shlex.join(command)) from error
    if failure is not None:
        raise KeijiError(f"cannot start {command[0]}: {failure.strerror or failure}", hint=hint) from failure
    return code
