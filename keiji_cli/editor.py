"""Opening a file in an editor of the person's choice."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from keiji.errors import KeijiError

EDITORS = ("vim", "nano", "code")


def open_in(editor: str, path: Path) -> None:
    """Open ``path`` in one of `EDITORS` and wait until that ends.

    Raises:
        KeijiError: the editor is not installed, there is nothing to open, or it failed.
    """
    program = shutil.which(editor)
    if program is None:
        raise KeijiError(f"{editor} is not installed: there is no such program on PATH", hint=f"the file is {path}")
    if not path.exists():
        raise KeijiError(f"{path} is not there yet: nothing has been logged")
    ended = subprocess.run([program, str(path)], check=False)
    if ended.returncode:
        raise KeijiError(f"{editor} ended with exit code {ended.returncode}", hint=f"the file is {path}")
