"""The folder of the run files, which has a random id.

A folder that was deleted and created again has another id, so an absent run file proves something only in the folder in
which the run was claimed. The id is a file beside the folder, which is removed before the folder is created.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_ID_SUFFIX = ".id"
_ID_DIGITS = 32


def create(folder: Path) -> None:
    """Create the folder and its parent, unless they exist.

    The parent's own parent, the data folder, is not created: if it is gone, the installation was moved or removed.

    Raises:
        OSError: the folder cannot be created.
    """
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        _id_file(folder).unlink(missing_ok=True)  # first: no crash may leave it beside a new folder
        folder.mkdir(mode=0o700, exist_ok=True)


def ensure_id(folder: Path) -> str:
    """Create the folder and its id, unless they exist, and return the id. Raises OSError."""
    create(folder)
    while (found := read_id(folder)) is None:
        create(folder)
        _create_id(folder)
    return found


def read_id(folder: Path) -> str | None:
    """Return the id of the folder; None if it has none."""
    with contextlib.suppress(OSError, ValueError):
        text = _id_file(folder).read_text("ascii")
        int(text, 16)
        if len(text) == _ID_DIGITS:
            return text
    return None


def run_ids(folder: Path) -> list[str]:
    """Return the ids of all runs that have a file, and remove leftover temporary files.

    Call it only while no launcher lives, since a shim that is starting still needs its temporary file.
    """
    found = []
    for entry in os.scandir(folder):
        if not entry.is_file(follow_symlinks=False):
            continue
        if entry.name.startswith("."):
            Path(entry.path).unlink(missing_ok=True)
        else:
            found.append(entry.name)
    return sorted(found)


def _id_file(folder: Path) -> Path:
    return folder.with_name(folder.name + _ID_SUFFIX)


def _create_id(folder: Path) -> None:
    """Create the id, or replace one that is invalid: a crash of the machine may leave an empty file."""
    target = _id_file(folder)
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    # If the parent folder or the temporary file was deleted, the caller tries again.
    with contextlib.suppress(FileNotFoundError):
        temporary.write_text(os.urandom(_ID_DIGITS // 2).hex(), "ascii")
        temporary.replace(target)
