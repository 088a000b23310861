"""Opening a file in an editor."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from keiji.errors import KeijiError, UsageError

EDITORS = ("vim", "nano", "code")
_IN_TERMINAL = ("vim", "nano")


def open_in_editor(path: Path, editor: str) -> None:
    """Open a file in one of `EDITORS` and wait until the editor exits.

    Raises:
        UsageError: the editor would run in a terminal, and standard input or output is none.
        KeijiError: the editor is not installed, the file does not exist, or the editor failed.
    """
    program = shutil.which(editor)
    if program is None:
        raise KeijiError(f"{editor} is not installed: it was not found on PATH", hint=f"the file is {path}")
    if not path.exists():
        raise KeijiError(f"nothing has been logged yet to {path}", hint="--follow waits for the first lines")
    if editor in _IN_TERMINAL and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(f"--{editor} needs a terminal: input or output is redirected", hint=f"the file is {path}")
    code = subprocess.run([program, str(path)], check=False).returncode
    if code:
        raise KeijiError(f"{editor} failed with exit code {code}", hint=f"the file is {path}")
