"""Validates and creates the workspace."""

from __future__ import annotations

import contextlib
from pathlib import Path

from keiji import private, settings
from keiji.errors import InvalidSettings, KeijiError, WorkspaceMissing
from keiji.local_zone import find_local_zone
from keiji.paths import Paths

TASK_FILES = ("function.py", "task.toml")  # a folder with one of them is that of a task

_PYPROJECT = """\
# The dependencies of the tasks in this workspace. Tasks run in the Python environment of keiji itself, so install the
# packages that you list here into that environment (python -m pip install …).
[project]
name = "keiji-workspace"
version = "0"
requires-python = ">=3.11"
dependencies = []
"""
_GITIGNORE = """\
# Secrets, and what belongs to this machine.
.env
settings.conf
__pycache__/
*.py[co]
"""


def validate(paths: Paths) -> None:
    """Ensure that the workspace exists and its settings are valid.

    Raises:
        WorkspaceMissing: the workspace or its settings file does not exist.
        InvalidSettings: the settings are invalid.
    """
    try:
        settings.load(paths.settings)
    except InvalidSettings as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        if paths.tasks.is_dir():
            raise WorkspaceMissing(f"{paths.settings} does not exist", hint=error.hint) from error
        raise WorkspaceMissing(f"there is no workspace in {paths.workspace}", hint="keiji init creates it") from error


def find_task_folders(tasks: Path) -> list[str]:
    """Return the names of the folders in ``tasks`` that contain the sources of a task, sorted.

    Raises:
        OSError: ``tasks`` cannot be read.
    """
    return sorted(
        path.name
        for path in tasks.iterdir()
        if not path.name.startswith((".", "__"))
        and _is_utf8(path.name)
        and any((path / name).is_file() for name in TASK_FILES)
    )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def create(paths: Paths) -> list[Path]:
    """Create the missing parts of the workspace and return them. If that fails, the changes are rolled back.

    Raises:
        InvalidSettings: the existing settings are invalid.
        KeijiError: a folder or file cannot be created, or the state belongs to another user.
    """
    paths.check_owner()
    folders = [folder for folder in (paths.tasks, *paths.tasks.parents) if not folder.exists()]
    texts = {
        paths.settings: settings.template(find_local_zone().name),
        paths.workspace / "pyproject.toml": _PYPROJECT,
        paths.workspace / ".gitignore": _GITIGNORE,
    }
    files: list[Path] = []
    try:
        with private.private_umask():  # settings.conf may contain a password, and sources are executed
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
        hint = "set KEIJI_ROOT or KEIJI_WORKSPACE to another folder"
        raise KeijiError(f"cannot create {error.filename}: {error.strerror}", hint=hint) from error
    return [path for path in (paths.tasks, *files) if path in files or path in folders]


def _remove(files: list[Path], folders: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for path in files:
            path.unlink()
        for folder in folders:
            folder.rmdir()  # fails for a folder that is not empty, which is kept
