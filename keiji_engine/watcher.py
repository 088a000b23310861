"""Notices that the sources of a task differ from its build. Decides nothing.

An event of the file system means only: look at this task again. What counts is the comparison with the files of the
active build, so a change that was taken back is none. Events get lost (overflow, network file systems), so everything
is looked at each minute, too; a look costs one stat per file where nothing changed. Where there are very many tasks,
some of them have their turn each minute.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from watchfiles import Change, watch
from watchfiles.main import FileChange

from keiji.errors import BuildFailed
from keiji_engine.builds.snapshot import Hashed, changed, fingerprint, is_as_in, is_source
from keiji_engine.builds.validate import check_syntax

AT_ONCE = 300  # so many tasks are looked at each time that it looks without having been told anything


@dataclass(frozen=True, slots=True)
class SourceState:
    """How the sources of a task compare with its active build.

    Args:
        changes: paths that were added, removed or edited; empty when the two are the same.
        error: why what is there now cannot be built, such as "function.py, line 3: invalid syntax".
    """

    slug: str
    changes: tuple[str, ...] = ()
    error: str = ""


@dataclass(slots=True)
class _Stir:
    """Somebody is writing in a task's folder."""

    began: float
    due: float


class Watcher:
    """Watches the folder of tasks, which may be missing or replaced, and tells what changed for the tasks with a build.

    Args:
        tasks: the folder that holds one folder for each task.
        active: gives slug → (path → hash) of each active build.
        tell: is called from the event loop with each `SourceState` that differs from what was told before.
        quiet: seconds without an event after which a task is looked at.
        most: seconds after the first event at which it is looked at anyway.
        recheck: seconds between looks at tasks of which nothing was heard, `AT_ONCE` each time.
        glance: seconds between looks whether the folder of tasks is still the one that is watched.
        python: the interpreter that would build.
    """

    def __init__(
        self,
        tasks: Path,
        active: Callable[[], Mapping[str, Mapping[str, str]]],
        tell: Callable[[SourceState], None],
        *,
        quiet: float = 0.4,
        most: float = 3.0,
        recheck: float = 60.0,
        glance: float = 1.0,
        python: str = sys.executable,
    ) -> None:
        self._tasks = Path(os.path.abspath(tasks))
        self._active = active
        self._tell = tell
        self._quiet = quiet
        self._most = most
        self._interval = recheck
        self._glance = glance
        self._python = python
        self._told: dict[str, tuple[dict[str, str], SourceState]] = {}  # with the files it was compared with
        self._caches: dict[str, dict[str, Hashed]] = {}
        self._stirred: dict[str, _Stir] = {}
        self._nudge = asyncio.Event()
        self._roots: tuple[Path, ...] = (self._tasks,)

    async def run(self) -> None:
        """Watch until cancelled; may be run again afterwards. Only a defect ends it otherwise."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._look_each_interval())
            group.create_task(self._look_when_quiet())

    def recheck(self, slug: str) -> None:
        """Look at a task now: it was built, or its record changed."""
        now = asyncio.get_running_loop().time()
        self._stirred[slug] = _Stir(now, now)
        self._nudge.set()

    async def _look_each_interval(self) -> None:
        self._recheck_all()
        turn: deque[str] = deque()
        while True:
            await asyncio.sleep(self._interval)
            active = self._active()
            turn = turn or deque(active)
            slugs = [turn.popleft() for _ in range(min(AT_ONCE, len(turn)))]
            await self._recheck(slug for slug in slugs if slug in active)

    async def _recheck(self, slugs: Iterable[str]) -> None:
        """Have those looked at whose files are not as they were at the last look."""
        known = {slug: self._caches.get(slug, {}) for slug in slugs}
        differing = await asyncio.to_thread(
            lambda: [slug for slug, cache in known.items() if not is_as_in(cache, self._tasks / slug)]
        )
        now = asyncio.get_running_loop().time()
        for slug in differing:
            self._stirred.setdefault(slug, _Stir(now, now))  # who is writing is waited for
        self._nudge.set()

    def _recheck_all(self) -> None:
        now = asyncio.get_running_loop().time()
        for slug in self._active():
            self._stirred.setdefault(slug, _Stir(now, now))  # who is writing is waited for
        self._nudge.set()

    async def _listen(self) -> None:
        """Turn events into stirs, whatever becomes of the folder."""
        while True:
            watched = _identity(self._tasks)
            if watched is not None:
                try:
                    await self._listen_to(watched)
                except OSError:
                    # It vanished just now, or the machine has no watches left: looking at everything is what remains.
                    self._recheck_all()
            await asyncio.sleep(self._glance)

    async def _listen_to(self, watched: tuple[int, int]) -> None:
        """Take in events for as long as the folder of tasks is the one that is ``watched``."""
        self._roots = (self._tasks, self._tasks.resolve())  # some systems tell of the one, some of the other
        ended = threading.Event()
        events = watch(
            self._tasks,
            watch_filter=self._concerns,
            debounce=200,
            step=100,  # it looks whether it is to end this often, so less would be busier
            stop_event=ended,
            rust_timeout=int(self._glance * 1000),
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        is_new = True
        async with aclosing(_from_thread(events, ended)) as told:
            async for changes in told:
                if is_new:
                    self._recheck_all()  # what happened between the last look and now was told to nobody
                    is_new = False
                self._stir(changes)
                if _identity(self._tasks) != watched:
                    self._recheck_all()
                    return

    def _concerns(self, _: Change, path: str) -> bool:
        """Whether an event may mean that sources changed."""
        parts = self._parts(path)
        return bool(parts) and all(is_source(part) for part in parts)

    def _parts(self, path: str) -> tuple[str, ...]:
        for root in self._roots:
            if Path(path).is_relative_to(root):
                return Path(path).relative_to(root).parts
        return ()

    def _stir(self, changes: Iterable[FileChange]) -> None:
        now = asyncio.get_running_loop().time()
        active = self._active()
        for slug in {self._parts(path)[0] for _, path in changes}:
            if slug in active:
                began = self._stirred[slug].began if slug in self._stirred else now
                self._stirred[slug] = _Stir(began, min(now + self._quiet, began + self._most))
                self._nudge.set()

    async def _look_when_quiet(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._nudge.clear()
            now = loop.time()
            for slug in [slug for slug, stir in self._stirred.items() if stir.due <= now]:
                del self._stirred[slug]
                await self._look(slug)
            if any(stir.due <= loop.time() for stir in self._stirred.values()):
                continue
            following = min((stir.due for stir in self._stirred.values()), default=None)
            try:
                async with asyncio.timeout_at(following):
                    await self._nudge.wait()
            except TimeoutError:
                continue

    async def _look(self, slug: str) -> None:
        """Compare a task with its active build, and tell what is new about it."""
        if slug not in self._active():
            self._told.pop(slug, None)
            self._caches.pop(slug, None)
            return
        before = dict(self._active()[slug])
        cache = dict(self._caches.get(slug, {}))  # its own: a look that was cancelled goes on in its thread
        state = await asyncio.to_thread(_compare, self._tasks / slug, before, cache, self._python)
        self._caches[slug] = cache
        if dict(self._active().get(slug, {})) != before:
            self.recheck(slug)  # it was built, or deleted, while we looked
            return
        # A new build is news even where it differs in the same files as the old one did.
        if self._told.get(slug, (before, SourceState(slug))) != (before, state):
            self._told[slug] = (before, state)
            self._tell(state)


async def _from_thread(
    events: Generator[set[FileChange], None, None], ended: threading.Event
) -> AsyncGenerator[set[FileChange], None]:
    """Yield ``events``, waited for in a thread.

    The package has its own way to do so, which loads another toolkit beside asyncio: a tenth of an engine's start.
    """
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "watch")
    try:
        while (changes := await loop.run_in_executor(thread, next, events, None)) is not None:
            yield changes
    finally:
        ended.set()  # which is noticed at the next step: nobody has to wait for that
        thread.submit(events.close)
        thread.shutdown(wait=False)


def _compare(source: Path, before: dict[str, str], cache: dict[str, Hashed], python: str) -> SourceState:
    try:
        after = fingerprint(source, cache)
        # An edit between the two would give the changes of one moment with the error of another. Who never stops
        # writing is told of all the same; the next event brings the next look.
        for _ in range(3):
            changes = changed(before, after)
            error = check_syntax(source, python, [path for path in changes if path in after])
            looked_at, after = after, fingerprint(source, cache)
            if looked_at == after:
                break
    except BuildFailed as failure:
        # What differs cannot be told; that something does can.
        return SourceState(source.name, tuple(sorted(before)), failure.message)
    return SourceState(source.name, changes, error)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
