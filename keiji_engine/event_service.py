"""Runs tasks on events: once after each start of the machine (`at_start`), and after changes of files (`on_change`).

Changes while no engine runs are noticed when one starts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from keiji.errors import KeijiError, TaskNotFound
from keiji.machine import start_id
from keiji_engine.event_runs import patterns_of, run_at_start, run_on_change, runs_at_start
from keiji_engine.events import Committed, DatabaseReplaced, EventBus
from keiji_engine.file_patterns import Files
from keiji_engine.file_watch import FileWatch
from keiji_engine.scheduler.model import Conditions, is_held_back
from keiji_engine.state import EngineState

RETRY_INTERVAL = 1.0  # seconds until the next attempt if the runner is stopped or the database rejects writes

_log = logging.getLogger("keiji.scheduler")


@dataclass(frozen=True, slots=True)
class _Watched:
    """What determines when the files of a task are looked at."""

    task_id: str
    patterns: tuple[str, ...]
    is_held_back: bool


class EventService:
    """Serves beside the scheduler.

    Args:
        conditions: those of the scheduler.
        machine_start: returns the id of this start of the machine or container; "" if it is unknown.
    """

    def __init__(
        self,
        state: EngineState,
        *,
        events: EventBus,
        conditions: Callable[[], Conditions],
        clock: Callable[[], datetime],
        machine_start: Callable[[], str] = start_id,
    ) -> None:
        self._state = state
        self._conditions = conditions
        self._clock = clock
        self._machine_start = machine_start
        self._watch = FileWatch(self._files_found)
        self._watched: dict[str, _Watched] = {}
        self._recorded: dict[str, dict[str, str]] = {}  # slug → the files as they are stored, to compare without I/O
        self._is_serving = False
        events.subscribe(Committed, self._committed)
        events.subscribe(DatabaseReplaced, lambda _: self._reset())

    async def serve(self) -> None:
        """Run tasks on events until cancelled."""
        self._is_serving = True
        try:
            self._reset()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._run_at_start())
                group.create_task(self._watch.serve())
        finally:
            self._is_serving = False

    # ── the start of the machine ─────────────────────────────────────────────────────────────────────────────────────

    async def _run_at_start(self) -> None:
        """Run the tasks that have not run since the machine started, as soon as that is possible."""
        started = await asyncio.to_thread(self._machine_start)
        while slugs := [task.slug for task in self._state.tasks() if runs_at_start(task.schedule)]:
            if not started:
                _log.warning("the start of this machine cannot be determined: %s do not run at start", ", ".join(slugs))
                return
            conditions = self._conditions()
            if conditions.can_run:
                operation = partial(
                    run_at_start,
                    slugs=slugs,
                    started=started,
                    now=self._clock(),
                    max_parallel=conditions.max_parallel,
                )
                try:
                    await self._state.apply(operation)
                except KeijiError as error:
                    _log.error("tasks with at_start could not be started, trying again: %s", error.message)
                else:
                    return
            await asyncio.sleep(RETRY_INTERVAL)

    # ── changes of files ─────────────────────────────────────────────────────────────────────────────────────────────

    def _reset(self) -> None:
        if not self._is_serving:
            return
        self._recorded.clear()
        for slug in {*self._watched, *(task.slug for task in self._state.tasks())}:
            self._update(slug, is_forced=True)

    def _committed(self, event: Committed) -> None:
        if not self._is_serving:
            return
        changes = event.changes
        for slug in {*changes.tasks, *changes.removed, *changes.renamed}:
            self._update(slug)
        if changes.pause_changed:
            for slug in list(self._watched):
                self._update(slug)

    def _update(self, slug: str, *, is_forced: bool = False) -> None:
        """Watch the files of a task as it is now."""
        task = self._state.task(slug)
        watched = None
        if task is not None and not task.is_disabled and (patterns := patterns_of(task.schedule)):
            watched = _Watched(task.task_id, patterns, is_held_back(task, self._state.pause))
        known = self._watched.get(slug)
        if watched == known and not is_forced:
            return
        self._recorded.pop(slug, None)
        if watched is None:
            self._watched.pop(slug, None)
            self._watch.set_patterns(slug, ())
        else:
            self._watched[slug] = watched
            self._watch.set_patterns(slug, watched.patterns)

    async def _files_found(self, slug: str, files: Files) -> bool:
        """Run a task if its files have changed; return False if that is not possible at present."""
        watched, conditions = self._watched.get(slug), self._conditions()
        if watched is None or watched.is_held_back or files == self._recorded.get(slug):
            return True  # after a pause, the files are looked at again
        if not conditions.can_run:
            return False
        operation = partial(
            run_on_change,
            slug=slug,
            files=files,
            now=self._clock(),
            max_parallel=conditions.max_parallel,
        )
        try:
            await self._state.apply(operation)
        except TaskNotFound:
            return True
        except KeijiError as error:
            _log.error(
                "%s: its files have changed, but no run could be recorded, trying again: %s", slug, error.message
            )
            return False
        if self._watched.get(slug) == watched:
            self._recorded[slug] = dict(files)
        return True
