"""Garbage collection of builds.

The folder of builds is locked: shared by directives that are about to make a build the active one, and exclusively by
the collection, which learns only then which builds are in use. It waits for no one: the next collection is soon.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from keiji import file_lock, file_tree
from keiji.errors import BuildFailed
from keiji_engine.builds.build_store import DISCARDED_PREFIX, STAGING_PREFIX, discard

_HASH = re.compile(r"[0-9a-f]{16}")
# A new task may get the sources of one that was deleted, and a build may be wanted back.
_GRACE_PERIOD = 600.0
_RETRY_INTERVAL = 0.02


@asynccontextmanager
async def hold_builds(builds: Path) -> AsyncIterator[None]:
    """Prevent that any build is collected. A directive holds the builds until the one it needs is in the database.

    Raises:
        BuildFailed: the folder of builds cannot be opened.
    """
    try:
        while (descriptor := await _acquire(builds, shared=True)) is None:  # noqa: ASYNC110 - held by a process
            await asyncio.sleep(_RETRY_INTERVAL)
    except OSError as error:
        raise BuildFailed(f"the folder of builds cannot be opened: {error.strerror}: {builds}") from error
    try:
        yield
    finally:
        os.close(descriptor)


async def collect_unheld(
    builds: Path, in_use: Callable[[], Awaitable[Collection[str]]], *, released: Collection[str] = ()
) -> list[str]:
    """Collect garbage unless another process has locked the builds; return the hashes of the removed builds.

    Args:
        in_use: returns what `collect_garbage` needs. It is called while no one can start to hold the builds.
        released: as for `collect_garbage`.

    Raises:
        OSError: the folder of builds cannot be read.
    """
    descriptor = await _acquire(builds, shared=False)
    if descriptor is None:
        return []
    try:
        collecting = asyncio.ensure_future(
            asyncio.to_thread(collect_garbage, builds, await in_use(), released=released)
        )
    except BaseException:
        os.close(descriptor)
        raise
    # A thread cannot be cancelled: the lock is held until it has ended.
    collecting.add_done_callback(lambda _: os.close(descriptor))
    return await asyncio.shield(collecting)


async def _acquire(builds: Path, *, shared: bool) -> int | None:
    """Return a descriptor that holds the lock of the folder of builds; None if it is held by others."""
    opening = asyncio.ensure_future(asyncio.to_thread(_open_locked, builds, shared=shared))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_result)
        raise


def _open_locked(builds: Path, *, shared: bool) -> int | None:
    builds.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(builds, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if file_lock.try_lock(descriptor, shared=shared):
        return descriptor
    os.close(descriptor)
    return None


def _close_result(opening: asyncio.Future[int | None]) -> None:
    if not opening.cancelled() and opening.exception() is None and (descriptor := opening.result()) is not None:
        os.close(descriptor)


def collect_garbage(
    builds: Path, in_use: Collection[str], *, released: Collection[str] = (), grace_period: float = _GRACE_PERIOD
) -> list[str]:
    """Remove unused builds and the leftovers of killed processes; return the hashes of the removed builds.

    Args:
        in_use: hashes that a task or a live run refers to.
        released: hashes of builds to which the grace period does not apply, since their task was deleted.
        grace_period: seconds for which a build is kept after it was created or reused.
    """
    removed = []
    for folder in sorted(builds.iterdir()) if builds.is_dir() else ():
        if folder.name.startswith((STAGING_PREFIX, DISCARDED_PREFIX)):
            _remove_abandoned(folder)
        elif _HASH.fullmatch(folder.name) and folder.name not in in_use:
            with suppress(FileNotFoundError):  # another process removed it at the same time
                if folder.name in released or time.time() - folder.stat().st_mtime >= grace_period:
                    discard(folder)
                    removed.append(folder.name)
    return removed


def _remove_abandoned(folder: Path) -> None:
    """Remove a folder unless a process is building in it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return  # already removed, or not a folder
    try:
        if file_lock.try_lock(descriptor):
            file_tree.remove(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
