"""Garbage collection of builds."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from keiji import file_lock
from keiji_engine.builds.build_store import DISCARDED_PREFIX, STAGING_PREFIX, discard, remove_tree

_HASH = re.compile(r"[0-9a-f]{16}")
# A build that was created or reused a moment ago may not be in the database yet.
_GRACE_PERIOD = 600.0


def collect_garbage(builds: Path, in_use: Collection[str], *, grace_period: float = _GRACE_PERIOD) -> list[str]:
    """Remove unused builds and the leftovers of killed processes; return the hashes of the removed builds.

    Args:
        in_use: hashes that a task or a live run refers to.
        grace_period: seconds for which a build is kept after it was created or reused.
    """
    removed = []
    for folder in sorted(builds.iterdir()) if builds.is_dir() else ():
        if folder.name.startswith((STAGING_PREFIX, DISCARDED_PREFIX)):
            _remove_abandoned(folder)
        elif _HASH.fullmatch(folder.name) and folder.name not in in_use:
            with suppress(FileNotFoundError):  # another process removed it at the same time
                if time.time() - folder.stat().st_mtime >= grace_period:
                    discard(folder)
                    removed.append(folder.name)
    return removed


def remove_builds(builds: Path, hashes: Collection[str]) -> None:
    """Remove builds immediately. They must not be in use."""
    for name in hashes:
        with suppress(FileNotFoundError):
            discard(builds / name)


def _remove_abandoned(folder: Path) -> None:
    """Remove a folder unless a process is building in it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return  # already removed, or not a folder
    try:
        if file_lock.try_lock(descriptor):
            remove_tree(folder)
    finally:
        os.close(descriptor)
