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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from keiji.errors import IllegalTransition, KeijiError, NotBuilt, RunNotFound, ServiceOffline, StorageError
from keiji.formats import format_duration
from keiji.parameters import find_problem, signature
from keiji.paths import Paths
from keiji.reasons import Code, Reason, reason, render
from keiji.records import Build, Overrides, ParamValue, Progress, Run, RunResult, Task, TaskKind
from keiji.run_context import run_variables
from keiji.settings import Settings
from keiji.states import FAILURES, RunState
from keiji_engine import builds
from keiji_engine.builds import command
from keiji_engine.events import Committed, EventBus
from keiji_engine.logs.service_log import log_task
from keiji_engine.runner import progress
from keiji_engine.runner.runner import Runner, RunStarted
from keiji_engine.runner.spec import RunSpec
from keiji_engine.state import EngineState
from keiji_engine.storage.transactions import Transaction, request_rerun, request_run

RETRY_INTERVAL = 1.0  # seconds until the second attempt to record an event; each further interval is longer
MAX_RETRY_INTERVAL = 2.0  # less than state.SOUND_AFTER: in between, the database must not seem sound
FIRST_RECORD_TIMEOUT = 2.0  # seconds until the service goes online although results of the meantime are not recorded
STOP_INTERVAL = 0.5  # seconds between stop signals to a run that has not ended
PROGRESS_INTERVAL = 0.5
RECORD_TIMEOUT = 1.5  # seconds for runs that were killed at the end to be recorded
FOLDER_INTERVAL = 0.5  # seconds between two checks of the folder of run files
_RETRIED = FAILURES - {RunState.LOST}  # a lost run may have done its work

_log = logging.getLogger("keiji.runner")
_repo_log = logging.getLogger("keiji.repo")


class RunService:
    """Starts runs, stops them, and records how they end.

    It launches every run that a transaction leaves in the state STARTING, from whichever caller.

    Args:
        settings: called for each run, since a reload may change them.
        on_log_incomplete: called with the slug of a task if the output of one of its runs is missing from its log.
    """

    def __init__(
        self,
        *,
        paths: Paths,
        settings: Callable[[], Settings],
        state: EngineState,
        events: EventBus,
        clock: Callable[[], datetime],
        on_log_incomplete: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._on_log_incomplete = on_log_incomplete
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
        self.is_draining = False
        self.runner = Runner(paths.runs, self._events.put_nowait, clock, lock=paths.launcher_lock)
        events.subscribe(Committed, self._committed)

    # ── the service ──────────────────────────────────────────────────────────────────────────────────────────────

    async def serve(self, ready: Callable[[], None]) -> None:
        """Adopt the runs of an earlier engine, then record what happens to runs, until cancelled."""
        await self._start_runner()
        try:
            async with asyncio.TaskGroup() as group:
                # Results of the meantime are recorded first: the scheduler must not take these runs for live. One that
                # the database rejects must not keep the service from starting.
                events = [self._events.get_nowait() for _ in range(self._events.qsize())]
                if recording := [group.create_task(self._record(event)) for event in events]:
                    await asyncio.wait(recording, timeout=FIRST_RECORD_TIMEOUT)
                self.is_online = True
                ready()
                group.create_task(self._launch_claimed())
                group.create_task(self._record_events())
                group.create_task(self._poll_progress())
                group.create_task(self._watch_folder())
                group.create_task(self.runner.wait())
        finally:
            self.is_online = False
            await self.runner.stop()

    async def _start_runner(self) -> None:
        """Start the runner with the runs of an earlier engine, and launch those that it has claimed and not begun."""
        reported = await self._discard_repeated_results()
        live = {
            run.run_id: run
            for run in self._state.open_runs()
            if run.is_live and run.run_id not in self._starting and run.run_id not in reported
        }
        origins = await self._state.read(lambda transaction: transaction.runs.origins())
        starting = [run_id for run_id, run in live.items() if run.state is RunState.STARTING]
        for run_id in await self.runner.start(live, origins, starting):
            _log.info("run %s was claimed by an earlier engine and has not begun; starting it", run_id)
            self._starting[run_id] = live[run_id]
        self._has_starting.set()
        self._state.set_run_origin(self.runner.origin)

    async def _watch_folder(self) -> None:
        """Create the folder of run files again if it is deleted; the shims create their files again."""
        while True:
            await asyncio.sleep(FOLDER_INTERVAL)
            try:
                if await self.runner.check_folder():
                    self._state.set_run_origin(self.runner.origin)
            except OSError as error:
                _log.error("the folder of run files cannot be created: %s", error)

    async def _discard_repeated_results(self) -> set[str]:
        """Drop results that were not recorded before the service stopped, if their run files will report them again.

        Returns the ids of the runs whose results are left.
        """
        with_file = await asyncio.to_thread(_file_names, self._paths.runs)
        pending = [self._events.get_nowait() for _ in range(self._events.qsize())]
        left = set()
        for event in pending:
            if isinstance(event, RunResult) and event.run_id not in with_file:
                self._events.put_nowait(event)
                left.add(event.run_id)
        return left

    def _committed(self, event: Committed) -> None:
        for run in event.changes.runs.values():
            if run.state is RunState.STARTING:
                self._starting[run.run_id] = run
                self._has_starting.set()
            elif not run.is_live and (ended := self._ended.pop(run.run_id, None)) is not None:
                ended.set()

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def request(
        self, task: Task, params: Mapping[str, ParamValue] | None = None, overrides: Overrides | None = None
    ) -> Run:
        """Start a manual run, or queue it as its policy says, or while all slots are taken; see `request_run`."""
        if self.is_draining:
            raise KeijiError("the engine is shutting down", hint="keiji system start starts it again")
        limit = self._settings().max_parallel_runs or None
        request = request_run(task.slug, self._clock(), limit, params=params, overrides=overrides)
        return (await self._state.apply(request)).run

    async def request_rerun(self, task: Task, run_id: str) -> Run:
        """Repeat a run, as `request` starts a manual one; see `request_rerun`. Raises RunNotFound."""
        if self.is_draining:
            raise KeijiError("the engine is shutting down", hint="keiji system start starts it again")
        limit = self._settings().max_parallel_runs or None
        return (await self._state.apply(request_rerun(task.slug, run_id, self._clock(), limit))).run

    async def _launch_claimed(self) -> None:
        while True:
            self._has_starting.clear()
            runs = list(self._starting.values())
            if not runs:
                await self._has_starting.wait()
                continue
            # In one thread for all of them: it reads files in the workspace.
            specs = await asyncio.to_thread(self._specs, [(run, *self._task_and_build(run)) for run in runs])
            for run, spec in zip(runs, specs, strict=True):
                if not isinstance(spec, RunSpec):
                    self._fail_start(run, str(spec))
            await self.runner.launch([spec for spec in specs if isinstance(spec, RunSpec)])
            for run in runs:
                self._starting.pop(run.run_id, None)

    def _fail_start(self, run: Run, detail: str) -> None:
        log_task(run.task, f"the run could not be started: {detail}", logging.ERROR)
        why = reason(Code.NOT_STARTED, detail=detail)
        self._events.put_nowait(
            RunResult(run_id=run.run_id, state=RunState.FAILED, finished_at=self._clock(), reason=why)
        )

    def _task_and_build(self, run: Run) -> tuple[Task | None, Build | None]:
        return self._state.task(run.task), self._state.build(run.task)

    def _specs(self, runs: Sequence[tuple[Run, Task | None, Build | None]]) -> list[RunSpec | KeijiError | OSError]:
        """Return for each run how to start it, or why that is impossible. Called in a thread."""
        specs: list[RunSpec | KeijiError | OSError] = []
        for run, task, build in runs:
            try:
                specs.append(self._spec(run, task, build))
            except (KeijiError, OSError) as error:
                specs.append(error)
        return specs

    def _spec(self, run: Run, task: Task | None, build: Build | None) -> RunSpec:
        if task is None or build is None:
            raise NotBuilt.named(run.task, run.task)
        settings, execution, overrides = self._settings(), build.execution, run.overrides or Overrides()
        folder = self._paths.builds / build.hash
        is_python = execution.kind is TaskKind.PYTHON
        given = {name: str(value) for name, value in run.params.items()}
        if problem := find_problem(execution.parameters, given):  # it was built again since the run was requested
            raise KeijiError(f"{problem}; {signature(task.name, execution.parameters)}")
        values = given if is_python else command.all_values(execution.parameters, given)
        environment = builds.child_environment(
            self._paths.source(task.slug),
            os.environ,
            run_variables(
                run,
                task=task.name,
                build=folder / command.SOURCES,
                params=values,
                zone=ZoneInfo(task.policy.tz) if task.policy.tz else settings.zone,
            ),
            defaults=self._state.defaults.env | execution.env,
            overrides=overrides.env,
        )
        directory = command.working_folder(execution, self._paths.work / task.slug, environment)
        if is_python:
            argv = builds.command_of(build, self._paths.builds)
            if not Path(argv[-2]).exists():
                raise NotBuilt.missing(task.slug, build.hash)
        elif not (folder / command.SOURCES).is_dir():
            raise NotBuilt.missing(task.slug, build.hash)
        else:
            argv = command.command_argv(build, folder, cwd=directory, environment=environment, values=values)
        return RunSpec(
            run_id=run.run_id,
            task=task.slug,
            command=argv,
            environment=environment,
            directory=str(directory),
            create_directory=not execution.cwd,
            stdin=execution.stdin,
            ok_exit_codes=execution.ok_exit_codes,
            log_path=str(self._paths.task_log(task.slug)),
            log_limit=settings.log_limit,
            zone=settings.time_zone,
            timeout=task.policy.timeout if overrides.timeout is None else overrides.timeout,
            stop_grace=task.policy.stop_grace,
            leave=task.policy.leave,
            reports_failure=is_python,
        )

    # ── recording ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _record_events(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._record(await self._events.get()))

    async def _record(self, event: RunStarted | RunResult) -> None:
        """Record an event, as soon as the database accepts it. Whatever the error, it affects no other run."""
        interval = RETRY_INTERVAL
        while True:
            try:
                if isinstance(event, RunStarted):
                    await self._record_start(event)
                else:
                    await self._record_end(event)
            except asyncio.CancelledError:
                self._events.put_nowait(event)  # the next start of this service records it
                raise
            except (RunNotFound, IllegalTransition) as error:
                # Its task was deleted, or the settings name another database now.
                _log.error("run %s is ignored: %s", event.run_id, error.message)
                if isinstance(event, RunResult):
                    await asyncio.to_thread(self.runner.remove_run_files, event.run_id)
                    self._forget(event.run_id)
                return
            except Exception as error:  # noqa: BLE001 - for example a value that the database cannot store
                text = error.message if isinstance(error, StorageError) else repr(error)
                _repo_log.error("run %s: %s; trying again", event.run_id, text)
            else:
                return
            try:
                await asyncio.sleep(interval)
            except asyncio.CancelledError:
                self._events.put_nowait(event)
                raise
            interval = min(interval * 1.5, MAX_RETRY_INTERVAL)

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
        self._forget(result.run_id)
        for run in changes.runs.values():
            self._log_consequence(run, result)
            if run.run_id == result.run_id and _is_log_incomplete(result.reason):
                self._on_log_incomplete(run.task)
        await asyncio.to_thread(self.runner.remove_run_files, result.run_id)

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
                self._state.set_progress(await asyncio.to_thread(_read_progress, self._paths.runs))
            await asyncio.sleep(PROGRESS_INTERVAL)

    # ── stopping ─────────────────────────────────────────────────────────────────────────────────────────────────

    def request_stop(self, run_id: str, why: Reason) -> None:
        """Ask a live run to stop; do not wait."""
        if self.runner.stop_run(run_id):
            self._stop_reasons.setdefault(run_id, why)

    async def drain(self, seconds: float, max_grace: float | None) -> None:
        """Start nothing any more, wait for the live runs, stop those that are left, and record how they end.

        Args:
            seconds: how long to wait before the runs are stopped.
            max_grace: seconds after which they are killed, even if their policies grant more.
        """
        self.is_draining = True
        if not self.is_online or not self.runner.live:
            return
        _log.info("waiting up to %s for %d live runs", format_duration(seconds), len(self.runner.live))
        if await self._wait_for_live_runs(seconds):
            return
        tasks = [self._state.task(run.task) for run in self._state.open_runs() if run.is_live]
        grace = max((task.policy.stop_grace for task in tasks if task is not None), default=0.0)
        _log.info("stopping %d live runs", len(self.runner.live))
        why = reason(Code.STOPPED, by="the shutdown of the engine", why="shutdown")
        for run_id in self.runner.live:
            self.request_stop(run_id, why)
        if max_grace is not None and max_grace < grace:
            if await self._wait_for_live_runs(max_grace):
                return
            for run_id in self.runner.live:
                self.runner.kill_run(run_id)
            grace = 0.0
        if not await self._wait_for_live_runs(grace + RECORD_TIMEOUT):
            _log.error("%d runs are not recorded yet; the next engine records them", len(self.runner.live))

    async def _wait_for_live_runs(self, seconds: float) -> bool:
        """Wait until no run is live and all results are recorded; return False if that takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.runner.live or any(run.is_live for run in self._state.open_runs()):
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(min(0.05, max(deadline - loop.time(), 0.0)))
        return True

    async def stop(self, task: Task, why: Reason) -> bool:
        """Stop the live runs of a task and cancel its queued runs; return, once they ended, whether there were any.

        Raises:
            ServiceOffline: there is a live run, and the runner is stopped.
        """
        is_stopped = await cancel_queued(self._state, task.slug, why, self._clock())
        is_stopped = await self._stop_live_runs(task.slug, why) or is_stopped
        # A run that failed just before it was stopped may have been queued again.
        return await cancel_queued(self._state, task.slug, why, self._clock()) or is_stopped

    async def _stop_live_runs(self, slug: str, why: Reason) -> bool:
        """Stop all live runs at once and wait until they ended; return whether there were any.

        Runs that begin later continue, unless the task is disabled: otherwise, a schedule with short intervals could
        prolong the wait without end.
        """
        waiting = {run.run_id: asyncio.Event() for run in self._live_runs(slug)}
        is_stopped = bool(waiting)
        while waiting:
            if not self.is_online:
                raise ServiceOffline.required("runner")
            for run_id, ended in waiting.items():
                waiting[run_id] = self._ended.setdefault(run_id, ended)
                self._stop_reasons[run_id] = why
                self.runner.stop_run(run_id)  # a run that has not begun yet ignores it
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_INTERVAL):
                    await asyncio.gather(*(ended.wait() for ended in waiting.values()))
            live = {run.run_id for run in self._live_runs(slug)}
            waiting = {run_id: ended for run_id, ended in waiting.items() if run_id in live and not ended.is_set()}
            task = self._state.task(slug)
            if task is None or task.is_disabled:
                waiting |= {run_id: asyncio.Event() for run_id in live - waiting.keys()}
        return is_stopped

    def _live_runs(self, slug: str) -> list[Run]:
        return [run for run in self._state.open_runs(slug) if run.is_live]


def _is_log_incomplete(why: Reason | None) -> bool:
    while why is not None and why.code != Code.LOG_INCOMPLETE:
        why = why.cause
    return why is not None


def _with_reported(stopped_for: Reason, reported: Reason | None) -> Reason:
    """Return why a run was stopped, with what its shim reports: that it was killed, or that its log is incomplete."""
    if reported is None:
        return stopped_for
    killed_after = reported.params.get("killed_after")
    params = {**stopped_for.params, **({"killed_after": killed_after} if killed_after is not None else {})}
    return Reason(stopped_for.code, params, stopped_for.cause).with_cause(reported.cause)


def _file_names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return set()


def _read_progress(runs: Path) -> dict[str, Progress]:
    return dict(progress.read_all(runs))


async def cancel_queued(state: EngineState, slug: str, why: Reason, now: datetime) -> bool:
    """Stop the queued runs of a task; return whether there were any."""
    changes = await state.apply(partial(_cancel_queued, slug=slug, why=why, now=now))
    return bool(changes.runs)


def _cancel_queued(transaction: Transaction, *, slug: str, why: Reason, now: datetime) -> None:
    transaction.runs.cancel_queued(slug, why, now)
