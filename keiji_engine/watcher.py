"""Detects that the sources of a task differ from its active build. It only reports; it starts no builds.

A file system event only triggers a check. The check compares the sources with the files of the active build, so a
change that was reverted is not a difference. Because events can be lost (queue overflow, network file systems), all
tasks are also rechecked periodically, in batches; if nothing changed, that costs one stat per file.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from watchfiles import Change, watch
from watchfiles.main import FileChange

from keiji.errors import BuildFailed, InvalidTaskFile
from keiji_engine.builds.snapshot import CachedDigest, changed_paths, hash_sources, is_source, is_unchanged
from keiji_engine.builds.task_file import FILE as TASK_FILE
from keiji_engine.builds.task_file import read_task_file
from keiji_engine.builds.validate import check_syntax
from keiji_engine.file_events import PendingChecks, folder_id, iterate_in_thread

RECHECK_BATCH = 300  # tasks per periodic recheck
_COMPARE_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class SourceState:
    """The sources of a task, compared with its active build.

    Args:
        changes: paths that were added, removed or edited; empty if there is no difference.
        error: why the sources cannot be built, such as "function.py, line 3: invalid syntax"; "" if there is no error.
    """

    slug: str
    changes: tuple[str, ...] = ()
    error: str = ""


class Watcher:
    """Watches the folder of tasks and reports how the sources of tasks differ from their active builds.

    The folder may be missing at first, and may be replaced.

    Args:
        tasks: the folder that contains one folder per task.
        active_files: returns slug → (path → hash) of each active build.
        on_change: called on the event loop with each new `SourceState` of a task that differs from the last one.
        debounce: seconds without an event before a task is checked.
        max_delay: seconds after the first event at which a task is checked even if further events arrive.
        recheck_interval: seconds between periodic rechecks, of `RECHECK_BATCH` tasks each.
        poll_interval: seconds between checks for a new or replaced folder of tasks.
        event_interval: seconds for which file system events are collected; shorter costs more CPU time when idle.
        python: the interpreter used for builds.
    """

    def __init__(
        self,
        tasks: Path,
        active_files: Callable[[], Mapping[str, Mapping[str, str]]],
        on_change: Callable[[SourceState], None],
        *,
        debounce: float = 0.4,
        max_delay: float = 3.0,
        recheck_interval: float = 60.0,
        poll_interval: float = 1.0,
        event_interval: float = 0.1,
        python: str = sys.executable,
    ) -> None:
        self._tasks = Path(os.path.abspath(tasks))
        self._active_files = active_files
        self._on_change = on_change
        self._recheck_interval = recheck_interval
        self._poll_interval = poll_interval
        self._event_interval = event_interval
        self._python = python
        # slug → the files of the build at the last report, and the reported state
        self._reported: dict[str, tuple[dict[str, str], SourceState]] = {}
        self._caches: dict[str, dict[str, CachedDigest]] = {}
        self._checks = PendingChecks(self._check, debounce=debounce, max_delay=max_delay)
        self._roots: tuple[Path, ...] = (self._tasks,)

    async def serve(self, ready: Callable[[], None] = lambda: None) -> None:
        """Call ``ready``, then watch until cancelled; can be called again. Raises only if the callback fails."""
        ready()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_events())
            group.create_task(self._recheck_periodically())
            group.create_task(self._checks.run())

    def recheck(self, slug: str) -> None:
        """Check a task immediately, because it was built or deleted, or its record changed."""
        self._checks.add_now(slug)

    async def _recheck_periodically(self) -> None:
        self._check_soon(self._active_files())
        queue: deque[str] = deque()
        while True:
            await asyncio.sleep(self._recheck_interval)
            active = self._active_files()
            queue = queue or deque(active)
            batch = [queue.popleft() for _ in range(min(RECHECK_BATCH, len(queue)))]
            caches = {slug: self._caches.get(slug, {}) for slug in batch if slug in active}
            self._check_soon(await asyncio.to_thread(_modified, self._tasks, caches))

    def _check_soon(self, slugs: Iterable[str]) -> None:
        """Check tasks now, except those with a pending check: files that are being written are still debounced."""
        for slug in slugs:
            self._checks.add(slug)

    async def _watch_events(self) -> None:
        """Watch the folder of tasks, and whenever it is created or replaced, the new one."""
        while True:
            found = await asyncio.to_thread(folder_id, self._tasks)
            if found is not None:
                try:
                    await self._watch_folder(found)
                except OSError:
                    # The folder was removed, or the limit of inotify watches is reached. Check all tasks instead.
                    self._check_soon(self._active_files())
            await asyncio.sleep(self._poll_interval)

    async def _watch_folder(self, watched: tuple[int, int]) -> None:
        """Schedule checks for file system events until the path refers to another folder than ``watched``."""
        self._roots = (
            self._tasks,
            await asyncio.to_thread(self._tasks.resolve),
        )  # which one occurs in events depends on the system
        stop = threading.Event()
        events = watch(
            self._tasks,
            watch_filter=self._is_relevant,
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
                    self._check_soon(self._active_files())  # changes before the watch started cause no event
                    is_first = False
                self._schedule_checks(batch)
                if await asyncio.to_thread(folder_id, self._tasks) != watched:
                    self._check_soon(self._active_files())
                    return

    def _is_relevant(self, _: Change, path: str) -> bool:
        """Return whether an event may be a change of sources."""
        parts = self._relative_parts(path)
        return bool(parts) and all(is_source(part) for part in parts)

    def _relative_parts(self, path: str) -> tuple[str, ...]:
        """Return the parts of ``path`` below the folder of tasks; the first one is the slug."""
        for root in self._roots:
            if Path(path).is_relative_to(root):
                return Path(path).relative_to(root).parts
        return ()

    def _schedule_checks(self, changes: Iterable[FileChange]) -> None:
        active = self._active_files()
        for slug in {self._relative_parts(path)[0] for _, path in changes}:
            if slug in active:
                self._checks.add_event(slug)

    async def _check(self, slug: str) -> None:
        """Compare a task with its active build, and report the result if it is new."""
        if slug not in self._active_files():
            self._reported.pop(slug, None)
            self._caches.pop(slug, None)
            return
        build_files = dict(self._active_files()[slug])
        cache = dict(self._caches.get(slug, {}))  # a copy, since a cancelled comparison continues in its thread
        state = await asyncio.to_thread(_compare, self._tasks / slug, build_files, cache, self._python)
        self._caches[slug] = cache
        if dict(self._active_files().get(slug, {})) != build_files:
            self.recheck(slug)  # it was built or deleted during the comparison
            return
        # The difference from a new build is reported even if it has the same paths as the difference from the old one.
        if self._reported.get(slug, (build_files, SourceState(slug))) != (build_files, state):
            self._reported[slug] = (build_files, state)
            self._on_change(state)


def _modified(tasks: Path, caches: Mapping[str, dict[str, CachedDigest]]) -> list[str]:
    """Return the slugs whose sources have changed since their last check."""
    return [slug for slug, cache in caches.items() if not is_unchanged(tasks / slug, cache)]


def _compare(source: Path, build_files: dict[str, str], cache: dict[str, CachedDigest], python: str) -> SourceState:
    try:
        files = hash_sources(source, cache)
        # Repeat if the sources were edited in between, so that the changes and the error belong together. If they are
        # edited continuously, report the last result; the next event triggers another check.
        for _ in range(_COMPARE_ATTEMPTS):
            changes = changed_paths(build_files, files)
            error = _check_task_file(source, changes) or check_syntax(
                source, python, [path for path in changes if path in files]
            )
            checked_files, files = files, hash_sources(source, cache)
            if checked_files == files:
                break
    except BuildFailed as failure:
        # The changes are unknown: report all files.
        return SourceState(source.name, tuple(sorted(build_files)), failure.message)
    return SourceState(source.name, changes, error)


def _check_task_file(source: Path, changes: Iterable[str]) -> str:
    """Return why a changed task.toml is invalid; "" if it is valid or not changed."""
    if TASK_FILE not in changes:
        return ""
    try:
        read_task_file(source)
    except InvalidTaskFile as error:
        return error.message
    return ""
