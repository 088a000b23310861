"""The implementation of a task's ``main.py``: runs the sources in place, with the values of ``.env``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from keiji.errors import KeijiError
from keiji_engine.builds import entry
from keiji_engine.builds.environment import read_env


def main(folder: Path) -> int:
    """Run the command line for the task in ``folder``; return the exit code."""
    try:
        os.environ.update(read_env(folder))
        return entry.main(str(folder), sys.argv[1:])
    except KeijiError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
