"""The workspace: whether there is one that can be used, and making it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from keiji import settings
from keiji.errors import InvalidSettings, KeijiError, WorkspaceMissing
from keiji.paths import Paths

_PYPROJECT = """\
# What the tasks of this workspace import. They run with the Python that keiji itself runs with: install what you list
# here into that one (python -m pip install …).
[project]
name = "keiji-workspace"
version = "0"
requires-python = ">=3.11"
dependencies = []
"""


def check(paths: Paths) -> None:
    """Return where an engine can work on the workspace.

    Raises:
        WorkspaceMissing: there is none.
        InvalidSettings: its settings cannot be used.
    """
    try:
        settings.load(paths.settings)
    except InvalidSettings as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        if paths.tasks.is_dir():
            raise WorkspaceMissing(f"{paths.settings} is not there", hint=error.hint) from error
        raise WorkspaceMissing(f"there is no workspace in {paths.workspace}", hint="keiji init makes it") from error


def make(paths: Paths) -> list[Path]:
    """Make whatever of the workspace is not there yet, and return it; what was made is removed where that fails.

    Raises:
        InvalidSettings: the settings that are there cannot be used.
        KeijiError: a folder or file cannot be made.
    """
    folders = [folder for folder in (paths.tasks, *paths.tasks.parents) if not folder.exists()]
    texts = {paths.settings: settings.template(settings.local_zone()), paths.workspace / "pyproject.toml": _PYPROJECT}
    files: list[Path] = []
    try:
        paths.tasks.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            if not path.exists():
                with path.open("x", encoding="utf-8") as file:
                    files.append(path)
                    file.write(text)
        settings.load(paths.settings)
    except (OSError, InvalidSettings) as error:
        _remove(files, folders)
        if isinstance(error, InvalidSettings):
            raise
        hint = "KEIJI_ROOT and KEIJI_WORKSPACE name other places"
        raise KeijiError(f"{error.filename} cannot be made: {error.strerror}", hint=hint) from error
    return [path for path in (paths.tasks, *files) if path in files or path in folders]


def _remove(files: list[Path], folders: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for path in files:
            path.unlink()
        for folder in folders:
            folder.rmdir()  # one in which somebody else has put something stays
