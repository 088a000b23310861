"""A file in the person's own editor, which has the terminal for as long as it runs."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from keiji.errors import KeijiError

_HINT = "export EDITOR=nano, for example, in the file that your shell reads at its start"


def in_editor(app: App[Any], file: Path) -> None:
    """Open a file in $VISUAL or $EDITOR and return when that has ended; the terminal is not drawn meanwhile.

    Raises:
        KeijiError: neither is set, it cannot be started or failed, or there is no such file.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        command = shlex.split(editor)
    except ValueError as error:
        raise KeijiError(f"$VISUAL or $EDITOR cannot be read: {error}", hint=_HINT) from error
    if not command:
        raise KeijiError("there is no editor: neither $VISUAL nor $EDITOR is set", hint=_HINT)
    if not file.is_file():
        raise KeijiError(f"{file} is not there")
    try:
        with app.suspend():
            ended = subprocess.run([*command, str(file)], check=False)
    except SuspendNotSupported as error:
        raise KeijiError("this terminal cannot be handed to an editor", hint=f"{editor} {file}") from error
    except OSError as error:
        raise KeijiError(f"{command[0]} cannot be started: {error.strerror or error}", hint=_HINT) from error
    if ended.returncode:
        raise KeijiError(f"{command[0]} ended with {ended.returncode}")
