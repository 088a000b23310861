"""The implementation of a task's ``main.py``: runs the sources in place, with the task's own variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from keiji.errors import KeijiError
from keiji_engine.builds import entry
from keiji_engine.builds.environment import read_env
from keiji_engine.builds.task_file import read_task_file
from keiji_engine.builds.validate import PYTHON_OPTIONS
from keiji_engine.builds.workspace_file import read_defaults


def main(folder: Path, arguments: list[str] | None = None) -> int:
    """Run the command line for the task in ``folder``; return the exit code.

    Args:
        arguments: None if they are those of this process, as in the ``main.py`` of tasks of earlier versions.
    """
    try:
        task_file = read_task_file(folder)
        defaults = read_defaults(folder.parent.parent).env
        values = defaults | (task_file.env if task_file is not None else {}) | read_env(folder)
        arguments = sys.argv[1:] if arguments is None else arguments
        if any(key.startswith("PYTHON") and os.environ.get(key) != value for key, value in values.items()):
            # The interpreter reads these only when it starts.
            command = [sys.executable, *PYTHON_OPTIONS, "-m", __spec__.name, str(folder), *arguments]
            os.execve(sys.executable, command, os.environ | values)
        os.environ.update(values)
        return entry.main(str(folder), arguments, "python main.py")
    except KeijiError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":  # a task's main.py starts this if its own interpreter does not have keiji
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
