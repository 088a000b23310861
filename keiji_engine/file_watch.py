"""Watches the files that tasks wait for (`on_change`), and reports their state whenever it may have changed.

A file system event only triggers a scan, a moment after the last one of a series. Since events can be lost (queue
overflow, network file systems), all patterns are also scanned periodically. Whether anything differs is for the
subscriber to decide.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path

from watchfiles import watch
from watchfiles.main import FileChange

from keiji_engine.file_events import PendingChecks, folder_id, iterate_in_thread
from keiji_engine.file_patterns import MAX_FILES, Files, TooManyFiles, folder_of, scan

_log = logging.getLogger("keiji.scheduler")


class FileWatch:
    """Reports the files that match the patterns of each task.

    Args:
        on_files: awaited with a slug and its files; returns False to get them again after ``retry_interval``.
        debounce: seconds without an event before the files are scanned.
        max_delay: seconds after the first event at which they are scanned even if further events arrive.
        poll_interval: seconds between checks for new or replaced folders.
        recheck_interval: seconds between scans without an event.
        event_interval: seconds for which file system events are collected.
    """

    def __init__(
        self,
        on_files: Callable[[str, Files], Awaitable[bool]],
        *,
        debounce: float = 0.5,
        max_delay: float = 5.0,
        poll_interval: float = 1.0,
        recheck_interval: float = 60.0,
        retry_interval: float = 1.0,
        event_interval: float = 0.1,
    ) -> None:
        self._on_files = on_files
        self._debounce = debounce
        self._poll_interval = poll_interval
        self._recheck_interval = recheck_interval
        self._retry_interval = retry_interval
        self._event_interval = event_interval
        self._patterns: dict[str, Sequence[str]] = {}
        self._folders: dict[str, list[str]] = {}  # slug → the paths below which events may concern it
        self._checks = PendingChecks(self._check, debounce=debounce, max_delay=max_delay)
        self._has_patterns = asyncio.Event()
        self._excessive: set[str] = set()  # slugs with too many files

    def set_patterns(self, slug: str, patterns: Sequence[str]) -> None:
        """Watch these patterns for a task, in place of the former ones; none to stop. They are scanned at once."""
        if not patterns:
            self._patterns.pop(slug, None)
            self._folders.pop(slug, None)
            self._checks.discard(slug)
            self._excessive.discard(slug)
        else:
            self._patterns[slug] = patterns
            self.recheck(slug)
        (self._has_patterns.set if self._patterns else self._has_patterns.clear)()

    def recheck(self, slug: str, delay: float = 0.0) -> None:
        """Report the files of a task again, ``delay`` seconds from now, even if there is no event."""
        if slug in self._patterns:
            self._checks.add(slug, delay)

    async def serve(self) -> None:
        """Watch until cancelled; can be called again. Raises what the callback raises."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_folders(is_recursive=False))
            group.create_task(self._watch_folders(is_recursive=True))
            group.create_task(self._recheck_periodically())
            group.create_task(self._checks.run())

    async def _recheck_periodically(self) -> None:
        while True:
            self._recheck_all()
            await asyncio.sleep(self._recheck_interval)

    def _recheck_all(self, delay: float = 0.0) -> None:
        for slug in self._patterns:
            self.recheck(slug, delay)

    async def _watch_folders(self, *, is_recursive: bool) -> None:
        """Watch the folders of one kind; again whenever others are to be watched, or one is created or replaced."""
        while True:
            await self._has_patterns.wait()
            folders = await self._existing_folders(is_recursive)
            if folders:
                try:
                    await self._watch(folders, is_recursive)
                except OSError as error:
                    # A folder was removed, or the limit of inotify watches is reached: the periodic scans remain.
                    _log.warning("files cannot be watched, and are scanned instead: %s", error)
                    await asyncio.sleep(self._recheck_interval)
                self._recheck_all(self._debounce)
            await asyncio.sleep(self._poll_interval)

    async def _existing_folders(self, is_recursive: bool) -> dict[str, tuple[int, int]]:
        """Return the id of each existing folder of a kind that is to be watched, by path."""
        patterns = dict(self._patterns)

        def find() -> tuple[dict[str, list[str]], dict[str, tuple[int, int]]]:
            by_slug: dict[str, list[str]] = {}
            existing: dict[str, tuple[int, int]] = {}
            for slug, own in patterns.items():
                for folder in map(folder_of, own):
                    # Which one occurs in events depends on the system.
                    by_slug.setdefault(slug, []).extend((folder.path, os.path.realpath(folder.path)))
                    if folder.is_recursive is is_recursive and (found := folder_id(Path(folder.path))) is not None:
                        existing[folder.path] = found
            return by_slug, existing

        by_slug, existing = await asyncio.to_thread(find)
        changed = [slug for slug, folders in by_slug.items() if folders != self._folders.get(slug)]
        self._folders = by_slug
        for slug in changed:
            self.recheck(slug, self._debounce)  # earlier events in these folders were not attributed to it
        return existing

    async def _watch(self, folders: dict[str, tuple[int, int]], is_recursive: bool) -> None:
        stop = threading.Event()
        events = watch(
            *folders,
            watch_filter=None,
            recursive=is_recursive,
            debounce=int(self._event_interval * 2000),
            step=int(self._event_interval * 1000),
            stop_event=stop,
            rust_timeout=int(self._poll_interval * 1000),
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        is_first = True
        async with aclosing(iterate_in_thread(events, stop)) as batches:
            async for batch in batches:
                if is_first:
                    self._recheck_all(self._debounce)  # changes before the watch started cause no event
                    is_first = False
                self._schedule_checks(batch)
                if await self._existing_folders(is_recursive) != folders:
                    return

    def _schedule_checks(self, changes: Iterable[FileChange]) -> None:
        paths = [path for _, path in changes]
        for slug, folders in self._folders.items():
            if slug in self._patterns and any(_is_below(path, folder) for path in paths for folder in folders):
                self._checks.add_event(slug)

    async def _check(self, slug: str) -> None:
        patterns = self._patterns.get(slug)
        if patterns is None:
            return
        try:
            files = await asyncio.to_thread(scan, patterns)
        except TooManyFiles:
            if slug not in self._excessive:
                self._excessive.add(slug)
                _log.error("%s: more than %d files match %s; narrow the pattern", slug, MAX_FILES, ", ".join(patterns))
            return
        self._excessive.discard(slug)
        if self._patterns.get(slug) == patterns and not await self._on_files(slug, files):
            self.recheck(slug, self._retry_interval)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder if folder.endswith("/") else f"{folder}/")
