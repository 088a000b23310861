"""Reaps orphans: as PID 1 of a container, the engine becomes the parent of every process whose own parent dies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from pathlib import Path

_INTERVAL = 5.0  # seconds; a child of the engine's own is waited for much sooner


async def reap_orphans(own: Callable[[], Collection[int]], interval: float = _INTERVAL) -> None:
    """Reap the zombies that nothing has waited for, until cancelled.

    Args:
        own: returns the pids of children whose exit status other code will read, however late.
        interval: seconds for which a child must have been a zombie.
    """
    former: set[int] = set()
    while True:
        await asyncio.sleep(interval)
        zombies = await asyncio.to_thread(_zombies)
        for pid in (zombies & former).difference(own()):
            try:
                os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it does not block
            except ChildProcessError:
                continue
        former = zombies


def _zombies() -> set[int]:
    """Return the pids of the zombies among this process's children; none if the system has no /proc."""
    parent, zombies = os.getpid(), set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = path.read_bytes().rpartition(b")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # the process has ended
        if state == b"Z" and int(ppid) == parent:
            zombies.add(int(path.parent.name))
    return zombies
