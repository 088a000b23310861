"""The life of runs inside the engine: from a claim to a launched process, and from its result to the record.

The file of a run is removed only after its result is in the ledger: whatever is killed in between, the result is found
again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from keiji.errors import IllegalTransition, KeijiError, NotBuilt, RunNotFound, StorageError
from keiji.paths import Paths
from keiji.records import Run, RunResult, Task
from keiji.settings import Settings
from keiji.states import BAD, RunState, Trigger
from keiji_engine import builds
from keiji_engine.board import Board
from keiji_engine.journal import Journal
from keiji_engine.ledger import Ledger
from keiji_engine.runner.runner import Runner, RunStarted
from keiji_engine.runner.spec import RunSpec
from keiji_engine.scheduler.planner import Plan
from keiji_engine.storage.store import Claim, Store

_AFTER_AN_ERROR = 1.0
_TELL_AGAIN = 0.5
_TRIED_AGAIN = BAD - {RunState.LOST}  # a lost run may have done its work


class Runs:
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
        ledger: Ledger,
        board: Board,
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
        self.is_online = False
        self.runner = Runner(paths.runs, self._happened.put_nowait, lambda text: journal.service("runner", text))

    # ── the service ──────────────────────────────────────────────────────────────────────────────────────────────

    async def serve(self, ready: Callable[[], None]) -> None:
        """Adopt what still runs, then record whatever happens to runs until cancelled."""
        await self.runner.start([run.run_id for run in self._board.open_runs() if run.is_live])
        self.is_online = True
        ready()
        try:
            while True:
                await self._record(await self._happened.get())
        finally:
            self.is_online = False
            await self.runner.stop()

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
        run, retry, task = await self._ledger.do(_finish, result, retry_at)
        self.runner.forget(run.run_id)
        self._board.put_runs([run, retry] if retry else [run], [task])
        if retry is not None and retry.due_at is not None:
            delay = (retry.due_at - (run.finished_at or self._clock())).total_seconds()
            tries = task.policy.retry.tries
            self._journal.task(task.slug, f"attempt {retry.attempt} of {tries} in {delay:g} s: {run.reason}")
        self._reasons.pop(run.run_id, None)
        ending = self._endings.pop(run.run_id, None)
        if ending is not None:
            ending.set()
        self._nudge()

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
        delay = task.policy.retry.delay_after(run.attempt)
        return None if delay is None else result.finished_at + timedelta(seconds=delay)

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def carry_out(self, plan: Plan) -> None:
        """Record what the scheduler decided, in one transaction, then start what is to start."""
        claims = plan.claims
        if not self.is_online:
            claims = tuple(_missed(claim) if claim.state == RunState.STARTING else claim for claim in claims)
        now = self._clock()
        runs, tasks = await self._ledger.do(_claim, claims, now) if claims else ([], [])
        if self.is_online:
            for run_id in plan.begin:
                runs.append(await self._ledger.do(Store.begin_queued, run_id, now))
        self._board.put_runs(runs, tasks)
        await self._launch([run for run in runs if run.state == RunState.STARTING])

    async def request(self, task: Task) -> Run:
        """Start a run that somebody asked for. Raises NotBuilt."""
        if task.build is None:
            raise NotBuilt(f"{task.name} has no build yet", hint=f"keiji task build {task.slug}")
        run = await self._ledger.do(Store.request_run, task.slug, trigger=Trigger.MANUAL, now=self._clock())
        self._board.put_runs([run])
        await self._launch([run])
        return run

    async def _launch(self, runs: Sequence[Run]) -> None:
        specs = []
        for run in runs:
            try:
                specs.append(self._spec(run))
            except (KeijiError, OSError) as error:
                now = self._clock()
                self._journal.task(run.task, f"the run could not be prepared: {error}", "ERROR")
                self._happened.put_nowait(
                    RunResult(run_id=run.run_id, state=RunState.FAILED, finished_at=now, reason=str(error))
                )
        if specs:
            await self.runner.launch(specs)

    def _spec(self, run: Run) -> RunSpec:
        task, build = self._board.task(run.task), self._board.build(run.task)
        if task is None or build is None:
            raise NotBuilt(f"{run.task} has no build")
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
        """Stop the live run of a task and cancel a waiting one; return, once they ended, whether there were any.

        ``reason`` is what their rows say.
        """
        cancelled = await self._ledger.do(Store.cancel_queued, task.slug, reason, self._clock())
        self._board.put_runs(cancelled)
        live = self._board.live_run(task.slug)
        if live is None or not self.is_online:
            return bool(cancelled)
        self._reasons[live.run_id] = reason
        ending = self._endings.setdefault(live.run_id, asyncio.Event())
        while not ending.is_set():
            # A run that is only just being started cannot be told yet; telling one twice does no harm.
            self.runner.stop_run(live.run_id)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TELL_AGAIN):
                    await ending.wait()
        return True


def _missed(claim: Claim) -> Claim:
    return replace(claim, state=RunState.MISSED, reason="the runner was stopped")


def _claim(store: Store, claims: Sequence[Claim], now: datetime) -> tuple[list[Run], list[Task]]:
    """Claim what is still as the plan saw it: a directive may have disabled, moved or deleted a task meanwhile."""
    tasks = {task.slug: task for task in store.tasks()}
    first = {claim.task: claim.scheduled_for for claim in reversed(claims)}
    current = {slug for slug, due in first.items() if slug in tasks and tasks[slug].next_at == due}
    runs = store.claim([claim for claim in claims if claim.task in current], now)
    return runs, [store.task(slug) for slug in current]


def _finish(store: Store, result: RunResult, retry_at: datetime | None) -> tuple[Run, Run | None, Task]:
    run, retry = store.finish(result, retry_at=retry_at)
    return run, retry, store.task(run.task)
