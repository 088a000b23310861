"""Opening a file in an editor."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from keiji.errors import KeijiError

EDITORS = ("vim", "nano", "code")


def open_in_editor(path: Path, editor: str) -> None:
    """Open a file in one of `EDITORS` and wait until the editor exits.

    Raises:
        KeijiError: the editor is not installed, the file does not exist, or the editor failed.
    """
    program = shutil.which(editor)
    if program is None:
        raise KeijiError(f"{editor} is not installed: it was not found on PATH", hint=f"the file is {path}")
    if not path.exists():
        raise KeijiError(f"nothing has been logged yet to {path}", hint="--follow waits for the first lines")
    code = subprocess.run([program, str(path)], check=False).returncode
    if code:
        raise KeijiError(f"{editor} failed with exit code {code}", hint=f"the file is {path}")
