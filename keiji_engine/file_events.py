"""File system events, collected in a thread by watchfiles; and when the check that an event asks for is due."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
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


class PendingChecks:
    """The checks that are due at some time, by slug.

    Args:
        check: makes a check.
        debounce: seconds without an event after which a check is made.
        max_delay: seconds after the first event after which it is made in any case.
    """

    def __init__(self, check: Callable[[str], Awaitable[None]], *, debounce: float, max_delay: float) -> None:
        self._check = check
        self._debounce = debounce
        self._max_delay = max_delay
        self._pending: dict[str, PendingCheck] = {}
        self._wakeup = asyncio.Event()

    def add_now(self, slug: str) -> None:
        """Make a check immediately, even if one is pending."""
        now = asyncio.get_running_loop().time()
        self._pending[slug] = PendingCheck(now, now)
        self._wakeup.set()

    def add(self, slug: str, delay: float = 0.0) -> None:
        """Make a check ``delay`` seconds from now, unless one is pending: its files may still be being written."""
        now = asyncio.get_running_loop().time()
        self._pending.setdefault(slug, PendingCheck(now, now + delay))
        self._wakeup.set()

    def add_event(self, slug: str) -> None:
        """Make a check after an event, debounced."""
        now = asyncio.get_running_loop().time()
        known = self._pending.get(slug)
        self._pending[slug] = PendingCheck.after(known, now, debounce=self._debounce, max_delay=self._max_delay)
        self._wakeup.set()

    def discard(self, slug: str) -> None:
        """Forget the check of a slug, if there is one."""
        self._pending.pop(slug, None)

    async def run(self) -> None:
        """Make the checks when they are due, until cancelled. Raises what a check raises."""
        loop = asyncio.get_running_loop()
        while True:
            self._wakeup.clear()
            now = loop.time()
            for slug in [slug for slug, check in self._pending.items() if check.due <= now]:
                if self._pending.pop(slug, None) is not None:
                    await self._check(slug)
            next_due = min((check.due for check in self._pending.values()), default=None)
            if next_due is not None and next_due <= loop.time():
                continue
            try:
                async with asyncio.timeout_at(next_due):
                    await self._wakeup.wait()
            except TimeoutError:
                continue


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
