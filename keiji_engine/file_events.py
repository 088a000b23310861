"""File system events, collected in a thread by watchfiles; and when the check that an event asks for is due."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from watchfiles.main import FileChange


@dataclass(frozen=True, slots=True)
class PendingCheck:
    """A check that is due at ``due``, in event loop time; the first event arrived at ``since``."""

    since: float
    due: float

    @classmethod
    def after(cls, known: PendingCheck | None, now: float, *, debounce: float, max_delay: float) -> PendingCheck:
        """Return the check after an event at ``now``: ``debounce`` later, but ``max_delay`` after the first event."""
        since = known.since if known is not None else now
        return cls(since, min(now + debounce, since + max_delay))


async def iterate_in_thread(
    events: Generator[set[FileChange], None, None], stop: threading.Event
) -> AsyncGenerator[set[FileChange], None]:
    """Yield the items of ``events``, which blocks, from a thread.

    `watchfiles.awatch` does the same but imports anyio, which takes a tenth of the engine's start-up time.
    """
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "watch")
    try:
        while (changes := await loop.run_in_executor(thread, next, events, None)) is not None:
            yield changes
    finally:
        stop.set()  # takes effect after the current interval; there is no need to wait for it
        thread.submit(events.close)
        thread.shutdown(wait=False)


def folder_id(folder: Path) -> tuple[int, int] | None:
    """Return device and inode of a folder; None if it does not exist."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
