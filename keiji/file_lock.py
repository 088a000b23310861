"""Advisory locks on files (`flock`): held until the descriptor is closed, and released by the kernel if a process dies.

A lock proves that its holder is alive, which a process id alone cannot: ids are reused.
"""

from __future__ import annotations

import fcntl
from pathlib import Path


def lock(descriptor: int, *, shared: bool = False) -> None:
    """Wait until ``descriptor`` holds the lock."""
    fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock ``descriptor`` unless another process holds the lock; return whether it is locked now."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Release the lock of ``descriptor``, which stays open."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_locked(path: Path) -> bool:
    """Return whether a process holds the exclusive lock of the file at ``path``. Raises FileNotFoundError.

    The check takes a shared lock for an instant, so that two processes that check at the same time do not see each
    other as the holder.
    """
    with path.open("rb") as file:
        return not try_lock(file.fileno(), shared=True)
