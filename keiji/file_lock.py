"""Advisory file locks (`flock`), held until the descriptor is closed; the kernel releases them when a process dies.

A held lock proves that its holder is alive. A process ID proves nothing, because IDs are reused.
"""

from __future__ import annotations

import fcntl
from pathlib import Path


def lock(descriptor: int, *, shared: bool = False) -> None:
    """Lock the file of ``descriptor``, waiting until no other process holds the lock."""
    fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock the file of ``descriptor`` without waiting; return False if another process holds the lock."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Release the lock of ``descriptor`` without closing it."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_locked(path: Path) -> bool:
    """Return whether a process holds the exclusive lock of the file at ``path``. Raises OSError if it cannot be opened.

    The check takes a shared lock for an instant, so concurrent checks do not mistake each other for the holder.
    """
    with path.open("rb") as file:
        return not try_lock(file.fileno(), shared=True)
