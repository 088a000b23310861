"""Runs a build manually, with the values of the task's ``.env``. The start script of a build executes this module."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from keiji.errors import KeijiError
from keiji_engine.builds.entry import USAGE
from keiji_engine.builds.environment import read_env
from keiji_engine.builds.switch import source_of


def main(script: str, arguments: Sequence[str]) -> int:
    """Replace this process with the build that ``script`` belongs to; return an exit code only if that fails.

    Args:
        script: the start script of a build, or the link of a task to it. A script that was not started through a link
            belongs to no task, and so has no ``.env``.
        arguments: ``--run`` or ``--schedule``.
    """
    if list(arguments) not in (["--run"], ["--schedule"]):
        print(USAGE.format(program=script), file=sys.stderr)  # noqa: T201
        return 2
    folder = Path(os.path.realpath(script)).parent
    source = source_of(Path(os.path.abspath(script)))
    try:
        *interpreter, entry, _ = json.loads((folder / "manifest.json").read_bytes())["command"]
        environment = os.environ | (read_env(source) if source is not None else {})
        os.execve(interpreter[0], [*interpreter, str(folder / entry), *arguments], environment)
    except (KeijiError, OSError, ValueError, KeyError) as error:
        print(f"{script} cannot be run: {error}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
