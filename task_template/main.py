"""Runs this task manually from its sources: python main.py --run. With --schedule, prints when it is due.

The engine does not use this file: it runs the build of the task.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path


def find_python() -> str:
    """Return the interpreter of the command keiji, which may be installed in an environment of its own, as by pipx."""
    command = shutil.which("keiji")
    if command is None:
        sys.exit(f"keiji is neither installed for {sys.executable} nor in PATH")
    with Path(command).open("rb") as script:
        first, second = (os.fsdecode(script.readline(4096)) for _ in range(2))
    words = first[2:].split() if first.startswith("#!") else []
    if words[:1] == ["/bin/sh"]:  # the path is too long for the first line: '''exec' /the/path/python "$0" "$@"
        words = shlex.split(second.replace("'''exec'", "", 1))
    elif words[:1] == ["/usr/bin/env"]:
        words = [shutil.which(words[-1]) or ""]
    for python in (*words[:1], str(Path(command).resolve().with_name("python"))):
        if "python" in Path(python).name and os.access(python, os.X_OK):
            return python
    sys.exit(f"keiji is not installed for {sys.executable}, and the interpreter of {command} cannot be found")


if __name__ == "__main__":
    folder = Path(__file__).resolve().parent
    try:
        from keiji_engine.builds.run_local import main
    except ModuleNotFoundError as error:
        if error.name not in ("keiji_engine", "keiji_engine.builds"):
            raise
        python = find_python()
        sys.stdout.flush()
        os.execv(python, [python, "-P", "-m", "keiji_engine.builds.run_local", str(folder), *sys.argv[1:]])
    sys.exit(main(folder, sys.argv[1:]))
