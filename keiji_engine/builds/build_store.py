"""The builds on disk. A build is created in a staging folder and moved into place atomically: it is never partial."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keiji import file_lock, file_tree

STAGING_PREFIX = ".tmp-"
DISCARDED_PREFIX = ".old-"


@contextmanager
def staging_folder(builds: Path) -> Iterator[Path]:
    """Create a folder in ``builds`` to build in, and remove it afterwards.

    This process holds a lock on it, so that `collect_garbage` does not take it for a leftover of a killed process.
    """
    builds.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=builds))
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        file_lock.lock(descriptor)
        if folder.exists():  # otherwise it was collected before it was locked
            break
        os.close(descriptor)
    try:
        yield folder
    finally:
        file_tree.remove(folder, ignore_errors=True)
        os.close(descriptor)


def publish(staged: Path, target: Path) -> bool:
    """Move the finished build ``staged`` to ``target``, durably; return False if there is a build already."""
    _sync_tree(staged)
    try:
        staged.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        return False
    target.chmod(0o555)  # only now: moving a folder to another parent requires write access to it
    _sync(target.parent)
    return True


def mark_used(build: Path) -> None:
    """Restart the grace period of `collect_garbage` for a build."""
    os.utime(build)


def discard(build: Path) -> None:
    """Remove a build. It disappears at once, by a rename, before its files are deleted. Raises FileNotFoundError."""
    discarded = build.with_name(f"{DISCARDED_PREFIX}{build.name}-{secrets.token_hex(4)}")
    build.rename(discarded)
    file_tree.remove(discarded, ignore_errors=True)  # `collect_garbage` retries what cannot be removed now


def _sync_tree(folder: Path) -> None:
    for subfolder, _, files in os.walk(folder, topdown=False):
        for name in files:
            _sync(Path(subfolder, name))
        _sync(Path(subfolder))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
