"""Runs in the engine: from a claim to a launched process, and from its result to the record.

The file of a run is removed only after its result is in the database: whatever is killed in between, the next engine
finds the result again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from keiji.errors import IllegalTransition, KeijiError, NotBuilt, RunNotFound, ServiceOffline, StorageError
from keiji.formats import format_duration
from keiji.paths import Paths
from keiji.reasons import Code, Reason, reason, render
from keiji.records import Run, RunResult, Task
from keiji.settings import Settings
from keiji.states import FAILURES, RunState
from keiji_engine import builds
from keiji_engine.events import Committed, EventBus
from keiji_engine.logs.service_log import log_task
from keiji_engine.runner import progress
from keiji_engine.runner.runner import Runner, RunStarted
from keiji_engine.runner.spec import RunSpec
from keiji_engine.state import EngineState
from keiji_engine.storage.transactions import Transaction, request_run

RETRY_INTERVAL = 1.0  # seconds between attempts to record an event
STOP_INTERVAL = 0.5  # seconds between stop signals to a run that has not ended
PROGRESS_INTERVAL = 0.5
_RETRIED = FAILURES - {RunState.LOST}  # a lost run may have done its work

_log = logging.getLogger("keiji.runner")
_repo_log = logging.getLogger("keiji.repo")


class RunService:
    """Starts runs, stops them, and records how they end.

    It launches every run that a transaction leaves in the state STARTING, from whichever caller.

    Args:
        settings: called for each run, since a reload may change them.
    """

    def __init__(
        self,
        *,
        paths: Paths,
        settings: Callable[[], Settings],
        state: EngineState,
        events: EventBus,
        clock: Callable[[], datetime],
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._state = state
        self._clock = clock
        self._events: asyncio.Queue[RunStarted | RunResult] = asyncio.Queue()
        self._starting: dict[str, Run] = {}  # claimed, and not handed to the runner yet
        self._has_starting = asyncio.Event()
        self._stop_reasons: dict[str, Reason] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self.is_online = False
        self.runner = Runner(paths.runs, self._events.put_nowait, clock)
        events.subscribe(Committed, self._committed)

    # ── the service ──────────────────────────────────────────────────────────────────────────────────────────────

    async def serve(self, ready: Callable[[], None]) -> None:
        """Adopt the runs of an earlier engine, then record what happens to runs, until cancelled."""
        self._discard_repeated_results()
        live = [run.run_id for run in self._state.open_runs() if run.is_live and run.run_id not in self._starting]
        await self.runner.start(live)
        try:
            # Results of the meantime are recorded first: the scheduler must not take these runs for live.
            while not self._events.empty():
                await self._record(self._events.get_nowait())
            self.is_online = True
            ready()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._launch_claimed())
                group.create_task(self._record_events())
                group.create_task(self._poll_progress())
                group.create_task(self.runner.wait())
        finally:
            self.is_online = False
            await self.runner.stop()

    def _discard_repeated_results(self) -> None:
        """Drop results that were not recorded before the service stopped, if their run files will report them again."""
        pending = [self._events.get_nowait() for _ in range(self._events.qsize())]
        for event in pending:
            if isinstance(event, RunResult) and not (self._paths.runs / event.run_id).exists():
                self._events.put_nowait(event)

    def _committed(self, event: Committed) -> None:
        for run in event.changes.runs.values():
            if run.state is RunState.STARTING:
                self._starting[run.run_id] = run
                self._has_starting.set()
            elif not run.is_live and (ended := self._ended.pop(run.run_id, None)) is not None:
                ended.set()

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def request(self, task: Task) -> Run:
        """Start a manual run, or queue it as its policy says, or while all slots are taken; see `request_run`."""
        limit = self._settings().max_parallel_runs or None
        return (await self._state.apply(request_run(task.slug, self._clock(), limit))).run

    async def _launch_claimed(self) -> None:
        while True:
            self._has_starting.clear()
            runs = list(self._starting.values())
            if not runs:
                await self._has_starting.wait()
                continue
            specs: list[RunSpec] = []
            for run in runs:
                try:
                    specs.append(self._spec(run))
                except (KeijiError, OSError) as error:
                    self._fail_start(run, str(error))
            await self.runner.launch(specs)
            for run in runs:
                self._starting.pop(run.run_id, None)

    def _fail_start(self, run: Run, detail: str) -> None:
        log_task(run.task, f"the run could not be started: {detail}", logging.ERROR)
        why = reason(Code.NOT_STARTED, detail=detail)
        self._events.put_nowait(
            RunResult(run_id=run.run_id, state=RunState.FAILED, finished_at=self._clock(), reason=why)
        )

    def _spec(self, run: Run) -> RunSpec:
        task, build = self._state.task(run.task), self._state.build(run.task)
        if task is None or build is None:
            raise NotBuilt.named(run.task, run.task)
        if not Path(build.command[-2]).exists():
            raise NotBuilt.missing(task.slug, build.hash)
        settings = self._settings()
        return RunSpec(
            run_id=run.run_id,
            task=task.slug,
            command=build.command,
            environment=builds.child_environment(
                self._paths.source(task.slug), os.environ, {"KEIJI_TASK": task.name, "KEIJI_RUN_ID": run.run_id}
            ),
            directory=str(self._paths.work / task.slug),
            log_path=str(self._paths.task_log(task.slug)),
            log_limit=settings.log_limit,
            zone=settings.time_zone,
            timeout=task.policy.timeout,
            stop_grace=task.policy.stop_grace,
        )

    # ── recording ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _record_events(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._record(await self._events.get()))

    async def _record(self, event: RunStarted | RunResult) -> None:
        """Record an event, as soon as the database accepts it."""
        while True:
            try:
                if isinstance(event, RunStarted):
                    await self._record_start(event)
                else:
                    await self._record_end(event)
            except StorageError as error:
                _repo_log.error("run %s: %s; trying again", event.run_id, error.message)
                await asyncio.sleep(RETRY_INTERVAL)
            except (RunNotFound, IllegalTransition) as error:
                # Its task was deleted, or the settings name another database now.
                _log.error("run %s is ignored: %s", event.run_id, error.message)
                if isinstance(event, RunResult):
                    self.runner.remove_run_files(event.run_id)
                    self._forget(event.run_id)
                return
            else:
                return

    async def _record_start(self, event: RunStarted) -> None:
        await self._state.apply(lambda transaction: transaction.runs.mark_running(event.run_id, event.started_at))
        if event.adopted:
            _log.info("adopted run %s", event.run_id)

    async def _record_end(self, result: RunResult) -> None:
        stopped_for = self._stop_reasons.get(result.run_id)
        if stopped_for is not None and result.state == RunState.STOPPED:
            result = replace(result, reason=_with_reported(stopped_for, result.reason))
        retry_at = self._retry_at(result)
        changes = await self._state.apply(lambda transaction: transaction.runs.finish(result, retry_at=retry_at))
        self.runner.remove_run_files(result.run_id)
        self._forget(result.run_id)
        for run in changes.runs.values():
            self._log_consequence(run, result)

    def _log_consequence(self, run: Run, result: RunResult) -> None:
        """Write to the task's log what follows from a failure: a retry, or a hold."""
        task = self._state.task(run.task)
        if task is None:
            return
        if run.state is RunState.QUEUED and run.due_at is not None:
            delay = (run.due_at - result.finished_at).total_seconds()
            why = render(result.reason, self._settings().zone)
            log_task(
                task.slug,
                f"attempt {run.attempt} of {task.policy.retry.tries} in {format_duration(delay)}: {why}",
            )
        elif task.held_at is not None and task.held_at == run.finished_at:
            count = "a failure" if task.failures == 1 else f"{task.failures} failures in a row"
            text = f"task held after {count}; keiji task resolve {task.slug} ends the hold"
            log_task(task.slug, text, logging.ERROR)

    def _forget(self, run_id: str) -> None:
        self._stop_reasons.pop(run_id, None)
        ended = self._ended.pop(run_id, None)
        if ended is not None:
            ended.set()

    def _retry_at(self, result: RunResult) -> datetime | None:
        run = self._state.open_run(result.run_id)
        task = self._state.task(run.task) if run else None
        if run is None or task is None or task.is_disabled or result.state not in _RETRIED:
            return None
        if result.run_id in self._stop_reasons:
            return None
        delay = task.policy.retry.delay_after(run.attempt, jitter_fraction=random.random())
        return None if delay is None else result.finished_at + timedelta(seconds=delay)

    async def _poll_progress(self) -> None:
        while True:
            if self.runner.live:
                self._state.set_progress(dict(progress.read_all(self._paths.runs)))
            await asyncio.sleep(PROGRESS_INTERVAL)

    # ── stopping ─────────────────────────────────────────────────────────────────────────────────────────────────

    def request_stop(self, run_id: str, why: Reason) -> None:
        """Ask a live run to stop; do not wait."""
        if self.runner.stop_run(run_id):
            self._stop_reasons.setdefault(run_id, why)

    async def stop(self, task: Task, why: Reason) -> bool:
        """Stop the live runs of a task and cancel its queued runs; return, once they ended, whether there were any.

        Raises:
            ServiceOffline: there is a live run, and the runner is stopped.
        """
        is_stopped = await cancel_queued(self._state, task.slug, why, self._clock())
        while live := [run for run in self._state.open_runs(task.slug) if run.is_live]:
            is_stopped = True
            for run in live:
                self._stop_reasons[run.run_id] = why
            await self._stop_runs(live)
        # A run that failed just before it was stopped may have been queued again.
        return await cancel_queued(self._state, task.slug, why, self._clock()) or is_stopped

    async def _stop_runs(self, runs: Sequence[Run]) -> None:
        waiting = {run.run_id: self._ended.setdefault(run.run_id, asyncio.Event()) for run in runs}
        while waiting:
            if not self.is_online:
                raise ServiceOffline.required("runner")
            for run_id in waiting:
                self.runner.stop_run(run_id)  # a run that has not begun yet ignores it
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_INTERVAL):
                    await asyncio.gather(*(ended.wait() for ended in waiting.values()))
            live = {run.run_id for run in self._state.open_runs(runs[0].task) if run.is_live}
            waiting = {run_id: ended for run_id, ended in waiting.items() if run_id in live and not ended.is_set()}


def _with_reported(stopped_for: Reason, reported: Reason | None) -> Reason:
    """Return why a run was stopped, with what its shim reports: that it was killed, or that its log is incomplete."""
    if reported is None:
        return stopped_for
    killed_after = reported.params.get("killed_after")
    params = {**stopped_for.params, **({"killed_after": killed_after} if killed_after is not None else {})}
    return Reason(stopped_for.code, params, stopped_for.cause).with_cause(reported.cause)


async def cancel_queued(state: EngineState, slug: str, why: Reason, now: datetime) -> bool:
    """Stop the queued runs of a task; return whether there were any."""
    changes = await state.apply(partial(_cancel_queued, slug=slug, why=why, now=now))
    return bool(changes.runs)


def _cancel_queued(transaction: Transaction, *, slug: str, why: Reason, now: datetime) -> None:
    transaction.runs.cancel_queued(slug, why, now)
