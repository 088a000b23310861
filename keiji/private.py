"""Files and folders that only their owner can access, whatever the umask."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from keiji.errors import KeijiError

_OTHERS = 0o077  # permissions of the group and of all other users


@contextlib.contextmanager
def private_umask() -> Iterator[int]:
    """Create every file and folder of this process without permissions for other users. Yields the former umask."""
    umask = os.umask(_OTHERS)
    try:
        yield umask
    finally:
        os.umask(umask)


def create_folder(folder: Path) -> None:
    """Create a folder and its missing parents with mode 0700; an existing folder gets that mode.

    Raises:
        KeijiError: it cannot be created.
    """
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
        if not folder.is_dir():
            folder.mkdir()  # raises the error that describes what is in its place
    except OSError as error:
        hint = "set KEIJI_ROOT to a folder that you can write to"
        raise KeijiError(f"cannot create {error.filename or folder}: {error.strerror}", hint=hint) from error
    restrict(folder)


def restrict(path: Path) -> None:
    """Remove the permissions of other users from a file or folder of this user. Links and other kinds are ignored.

    A folder that is shared by its nature is left alone: the root folder, the user's home, and a folder such as /tmp.
    """
    with contextlib.suppress(OSError):  # a read-only file system, or another owner
        status = os.lstat(path)
        if not status.st_mode & _OTHERS or not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
            return
        if stat.S_ISDIR(status.st_mode) and (status.st_mode & stat.S_ISVTX or _is_home_or_root(path)):
            return
        os.chmod(path, stat.S_IMODE(status.st_mode) & ~_OTHERS)


def restrict_tree(folder: Path) -> None:
    """Apply `restrict` to a folder and everything in it."""
    restrict(folder)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            restrict(Path(parent, name))


def _is_home_or_root(folder: Path) -> bool:
    return folder == Path(folder.anchor) or str(folder) == os.path.realpath(os.environ.get("HOME") or "/")


def user_name(uid: int) -> str:
    """Return the name of a user, or "uid 1234" if it has none."""
    import pwd  # deferred: rarely needed

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
