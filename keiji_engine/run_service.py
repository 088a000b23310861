"""The life of runs inside the engine: from a claim to a launched process, and from its result to the record.

The file of a run is removed only after its result is in the ledger: whatever is killed in between, the result is found
again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from keiji.errors import (
    IllegalTransition,
    KeijiError,
    NotBuilt,
    RunNotFound,
    ServiceOffline,
    StorageError,
)
from keiji.paths import Paths
from keiji.records import Run, RunResult, Task
from keiji.settings import Settings
from keiji.states import BAD, RunState
from keiji_engine import builds
from keiji_engine.logs.service_log import Journal
from keiji_engine.runner import progress
from keiji_engine.runner.runner import Runner, RunStarted
from keiji_engine.runner.spec import RunSpec
from keiji_engine.scheduler.planner import Plan
from keiji_engine.state import EngineState
from keiji_engine.storage import transactions
from keiji_engine.storage.async_store import AsyncStore
from keiji_engine.storage.store import Store

_AFTER_AN_ERROR = 1.0
_TELL_AGAIN = 0.5
_PROGRESS_SECONDS = 0.5  # between looks at how far runs have got
_TRIED_AGAIN = BAD - {RunState.LOST}  # a lost run may have done its work


class RunService:
    """Starts runs, stops them, and records how they end.

    Args:
        settings: called for each run, since a reload may change them.
        nudge: tells the scheduler to look again.
    """

    def __init__(
        self,
        *,
        paths: Paths,
        settings: Callable[[], Settings],
        ledger: AsyncStore,
        board: EngineState,
        journal: Journal,
        clock: Callable[[], datetime],
        nudge: Callable[[], None],
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._ledger = ledger
        self._board = board
        self._journal = journal
        self._clock = clock
        self._nudge = nudge
        self._happened: asyncio.Queue[RunStarted | RunResult] = asyncio.Queue()
        self._reasons: dict[str, str] = {}
        self._endings: dict[str, asyncio.Event] = {}
        self._is_in_doubt = False
        self.is_online = False
        self.runner = Runner(paths.runs, self._happened.put_nowait, lambda text: journal.service("runner", text))

    # ── the service ──────────────────────────────────────────────────────────────────────────────────────────────

    async def serve(self, ready: Callable[[], None]) -> None:
        """Adopt what still runs, then record whatever happens to runs until cancelled."""
        self._drop_what_is_told_again()
        open_runs = await self._ledger.do(Store.open_runs)
        await self.runner.start([run.run_id for run in open_runs if run.is_live])
        try:
            # What ended meanwhile is recorded first: the scheduler must not take it for running.
            while not self._happened.empty():
                await self._record(self._happened.get_nowait())
            self.is_online = True
            ready()
            self._nudge()
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self._record_all())
                parts.create_task(self._watch_progress())
                parts.create_task(self.runner.wait())
        finally:
            self.is_online = False
            await self.runner.stop()

    def _drop_what_is_told_again(self) -> None:
        """Forget what was not recorded before the service was stopped, as far as run files will tell it anew."""
        left = [self._happened.get_nowait() for _ in range(self._happened.qsize())]
        for event in left:
            if isinstance(event, RunResult) and not (self._paths.runs / event.run_id).exists():
                self._happened.put_nowait(event)

    async def _record_all(self) -> None:
        while True:
            await self._record(await self._happened.get())

    async def _watch_progress(self) -> None:
        while True:
            if self.runner.live:
                self._board.put_progress(dict(progress.read_all(self._paths.runs)))
            await asyncio.sleep(_PROGRESS_SECONDS)

    async def _record(self, event: RunStarted | RunResult) -> None:
        """Record until it is recorded: a database that is away holds this up, and loses nothing."""
        while True:
            try:
                if isinstance(event, RunStarted):
                    await self._record_start(event)
                else:
                    await self._record_end(event)
            except StorageError as error:
                self._journal.service("repo", f"run {event.run_id}: {error.message}; trying again", "ERROR")
                await asyncio.sleep(_AFTER_AN_ERROR)
            except (RunNotFound, IllegalTransition) as error:
                # Its task was deleted, or another database is in use now: the run is of no concern any more.
                self._journal.service("runner", f"run {event.run_id} is passed over: {error.message}", "ERROR")
                if isinstance(event, RunResult):
                    self.runner.forget(event.run_id)
                    self._is_over(event.run_id)
                return
            else:
                return

    async def _record_start(self, event: RunStarted) -> None:
        run = await self._ledger.do(Store.mark_running, event.run_id, event.started_at)
        if event.adopted:
            self._journal.service("runner", f"adopted run {run.run_id} of {run.task}")
        self._board.put_runs([run])

    async def _record_end(self, result: RunResult) -> None:
        result = self._with_reason(result)
        retry_at = self._retry_at(result)
        run, retry, task = await self._ledger.do(transactions.finish, result, retry_at)
        self.runner.forget(run.run_id)
        self._board.put_runs([run, retry] if retry else [run], [task])
        if retry is not None and retry.due_at is not None:
            delay = (retry.due_at - (run.finished_at or self._clock())).total_seconds()
            tries = task.policy.retry.tries
            self._journal.task(task.slug, f"attempt {retry.attempt} of {tries} in {delay:g} s: {run.reason}")
        elif task.held_at is not None and task.held_at == run.finished_at:
            failed = "a failure" if task.failures == 1 else f"{task.failures} failures in a row"
            self._journal.task(
                task.slug, f"task held after {failed}; keiji task resolve {task.slug} ends that", "ERROR"
            )
        self._is_over(run.run_id)
        self._nudge()

    def _is_over(self, run_id: str) -> None:
        self._reasons.pop(run_id, None)
        ending = self._endings.pop(run_id, None)
        if ending is not None:
            ending.set()

    def _with_reason(self, result: RunResult) -> RunResult:
        asked = self._reasons.get(result.run_id)
        if asked is None or result.state != RunState.STOPPED:
            return result
        return replace(result, reason=asked)

    def _retry_at(self, result: RunResult) -> datetime | None:
        run = next((run for run in self._board.open_runs() if run.run_id == result.run_id), None)
        task = self._board.task(run.task) if run else None
        if run is None or task is None or task.is_disabled or result.state not in _TRIED_AGAIN:
            return None
        if result.run_id in self._reasons:
            return None
        delay = task.policy.retry.delay_after(run.attempt, jitter_fraction=random.random())
        return None if delay is None else result.finished_at + timedelta(seconds=delay)

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def carry_out(self, plan: Plan) -> bool:
        """Record what the scheduler decided, as far as it is still true, then start and stop what is to.

        Returns whether the ledger changed.
        """
        await self._clear_doubts()
        runs: list[Run] = []
        tasks: list[Task] = []
        if plan.about:
            with self._doubting():
                runs, tasks = await self._ledger.do(transactions.settle_due, plan, self._clock())
        self._board.put_runs(runs, tasks)
        await self._launch([run for run in runs if run.state == RunState.STARTING])
        for run_id, reason in plan.stop:
            if self.runner.stop_run(run_id):
                self._reasons.setdefault(run_id, reason)
        return bool(runs or tasks)

    async def request(self, task: Task) -> Run:
        """Start a run that somebody asked for, or queue it for a slot. Raises NotBuilt, AlreadyRunning."""
        await self._clear_doubts()
        with self._doubting():
            run, task = await self._ledger.do(
                transactions.request, task.slug, self._clock(), self._settings().max_parallel_runs or None
            )
        self._board.put_runs([run], [task])
        if run.is_live:
            await self._launch([run])
        return run

    @contextlib.contextmanager
    def _doubting(self) -> Iterator[None]:
        """Note that a transaction failed of which it is not known whether it is in the ledger all the same."""
        try:
            yield
        except StorageError:
            self._is_in_doubt = True
            raise

    async def _clear_doubts(self) -> None:
        """Find runs that are in the ledger while nobody heard of them: nothing was launched for them."""
        if not self._is_in_doubt:
            return
        open_runs = await self._ledger.do(Store.open_runs)
        # Looked at only now: whatever was claimed before that question is on the board by its answer.
        known = {run.run_id for run in self._board.open_runs()} | self.runner.live
        unheard = [run for run in open_runs if run.is_live and run.run_id not in known]
        self._is_in_doubt = False
        self._board.put_runs(unheard)
        for run in unheard:
            self._could_not_start(run, "the database failed just as it was to be started", RunState.LOST)

    async def _launch(self, runs: Sequence[Run]) -> None:
        specs: list[RunSpec] = []
        prepared: list[Run] = []
        for run in runs:
            try:
                specs.append(self._spec(run))
                prepared.append(run)
            except (KeijiError, OSError) as error:
                self._could_not_start(run, str(error))
        try:
            if specs:
                await self.runner.launch(specs)
        except ServiceOffline as error:
            for run in prepared:
                self._could_not_start(run, error.message)

    def _could_not_start(self, run: Run, reason: str, state: RunState = RunState.FAILED) -> None:
        self._journal.task(run.task, f"the run could not be started: {reason}", "ERROR")
        self._happened.put_nowait(RunResult(run_id=run.run_id, state=state, finished_at=self._clock(), reason=reason))

    def _spec(self, run: Run) -> RunSpec:
        task, build = self._board.task(run.task), self._board.build(run.task)
        if task is None or build is None:
            raise NotBuilt(f"{run.task} has no build")
        if not Path(build.command[-2]).exists():
            raise NotBuilt(
                f"the build {build.hash} of {task.name} is missing; keiji task build {task.slug} makes it anew"
            )
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

    # ── stopping ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def stop(self, task: Task, reason: str) -> bool:
        """Stop what runs of a task; return, once it ended, whether anything did. ``reason`` is what its row says.

        Raises:
            ServiceOffline: something runs, and the runner is stopped, or is stopped meanwhile.
        """
        await self._clear_doubts()
        stopped = False
        # Asked of the ledger, and again: what the scheduler just began may not be on the board yet.
        while live := await self._ledger.do(transactions.live, task.slug):
            stopped = True
            for run in live:
                self._reasons[run.run_id] = reason
                await self._stop_one(run)
        return stopped

    async def _stop_one(self, run: Run) -> None:
        ending = self._endings.setdefault(run.run_id, asyncio.Event())
        while not ending.is_set():
            if not self.is_online:
                raise ServiceOffline(
                    f"{run.task} runs, and only the runner, which is stopped, can stop it",
                    hint="keiji system start --runner",
                )
            # A run that is only just being started cannot be told yet; telling one twice does no harm.
            self.runner.stop_run(run.run_id)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TELL_AGAIN):
                    await ending.wait()
            if not ending.is_set() and run.run_id not in await self._ledger.do(transactions.live_ids, run.task):
                self._is_over(run.run_id)  # it had ended before we began to wait
