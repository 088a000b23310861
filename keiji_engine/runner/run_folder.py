"""The folder of the run files, which has a random id.

The id is a file in the folder. A folder that was deleted and created again has another id, so an absent run file proves
something only in the folder in which the run was claimed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

_ID_NAME = ".id"
_ID_DIGITS = 32


def create(folder: Path) -> None:
    """Create the folder and its parent, unless they exist.

    The parent's own parent, the data folder, is not created: if it is gone, the installation was moved or removed.

    Raises:
        OSError: the folder cannot be created.
    """
    for path in (folder.parent, folder):
        path.mkdir(mode=0o700, exist_ok=True)


def ensure_id(folder: Path) -> str:
    """Create the folder and its id, unless they exist, and return the id. Raises OSError."""
    while (found := read_id(folder)) is None:
        create(folder)
        _create_id(folder)
    return found


def read_id(folder: Path) -> str | None:
    """Return the id of the folder; None if the folder or its id does not exist."""
    with contextlib.suppress(OSError, ValueError):
        text = (folder / _ID_NAME).read_text("ascii")
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
        if entry.name == _ID_NAME or not entry.is_file(follow_symlinks=False):
            continue
        if entry.name.startswith("."):
            Path(entry.path).unlink(missing_ok=True)
        else:
            found.append(entry.name)
    return sorted(found)


def _create_id(folder: Path) -> None:
    """Create the id, or replace one that is invalid: a crash of the machine may leave an empty file."""
    temporary = folder / f"{_ID_NAME}.{os.getpid()}"
    with contextlib.suppress(
        FileNotFoundError
    ):  # the folder, or the temporary file, was deleted: the caller tries again
        temporary.write_text(secrets.token_hex(_ID_DIGITS // 2), "ascii")
        temporary.replace(folder / _ID_NAME)
