"""The engine's state: tasks, builds, open and recent runs in memory, and the one path by which they change.

`EngineState.apply` commits operations to the database, then updates the memory, then publishes what changed. Nothing
else changes either of the two, so that memory, database and subscribers agree.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from keiji import names
from keiji.errors import BackfillNotFound, KeijiError, RunNotFound, StorageError
from keiji.parameters import Parameter
from keiji.paths import Paths
from keiji.reasons import Code, Reason, reason
from keiji.records import Backfill, Build, Execution, Pause, Progress, Run, RunOrigin, Task
from keiji.states import NEVER_STARTED, OPEN, BackfillState, RunState, Trigger
from keiji_engine.builds.command import describe_command
from keiji_engine.builds.workspace_file import Defaults
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import RecentRun, TaskView, backfill_view
from keiji_engine.events import Committed, DatabaseChecked, DatabaseReplaced, EventBus
from keiji_engine.scheduler.agenda import Agenda
from keiji_engine.scheduler.backfill import RunningBackfill
from keiji_engine.scheduler.model import Conditions, SchedulerView
from keiji_engine.scheduler.task_runs import TaskRuns
from keiji_engine.storage.async_store import AsyncStore
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.rows import as_broken
from keiji_engine.storage.sqlite_file import FileReplaced
from keiji_engine.storage.store import OutcomeUnknown
from keiji_engine.storage.transactions import Operation, Query, T, Transaction

if TYPE_CHECKING:  # a command without an engine watches no sources
    from keiji_engine.watcher import SourceState

RECENT_RUNS = 20
MAX_BATCH = 500  # groups of operations per transaction
RELOAD_INTERVAL = 1.0  # seconds between attempts to read back what a failed commit left behind
CHECK_INTERVAL = 1.0  # seconds between checks whether the database is there
# A database that rejects only some writes, all of which are repeated each second, must not seem sound in between.
SOUND_AFTER = 2.5  # seconds

_log = logging.getLogger("keiji.repo")


class _Texts(NamedTuple):
    """The parts of the view of a task that follow from its schedule, policy and build."""

    defaults: tuple[str, ...]
    schedule: str
    schedule_description: str
    events: tuple[str, ...]
    policy: str
    log_path: str
    source_path: str
    executable: str
    command: str
    kind: str
    parameters: tuple[Parameter, ...]
    tags: tuple[str, ...]


@dataclass
class _TaskState:
    """Everything in memory about one task."""

    task: Task
    build: Build | None = None
    recent: list[RecentRun] = field(default_factory=list)  # sorted by end, as the database returns them
    sources: SourceState | None = None
    progress: Progress | None = None  # of the live run
    _texts: _Texts | None = None
    _texts_of: Task | None = None
    _texts_with: Defaults | None = None

    def texts(self, paths: Paths, defaults: Defaults) -> _Texts:
        """Return the texts of the task as it is now; they are computed again only if they may have changed."""
        task, known = self.task, self._texts_of
        is_known = known is not None and (
            task.schedule is known.schedule and task.policy is known.policy and task.build == known.build
        )
        if self._texts is None or not is_known or self._texts_with is not defaults:
            self._texts = _texts(task, self.build, paths, defaults)
            self._texts_of, self._texts_with = task, defaults
        return self._texts

    def add_recent(self, run: Run) -> None:
        # Results may be recorded in another order than that in which the runs ended.
        bisect.insort(self.recent, _recent(run), key=lambda recent: (recent.finished_at, recent.run_id))
        del self.recent[:-RECENT_RUNS]


@dataclass(slots=True)
class _Group:
    """Operations that are committed together, and the outcome that their caller waits for."""

    operations: tuple[Operation, ...]
    outcome: asyncio.Future[Changes]
    flush: bool


class _ActiveFiles(Mapping[str, Mapping[str, str]]):
    """A live view: looking up one task does not copy all of them."""

    def __init__(self, states: Mapping[str, _TaskState]) -> None:
        self._states = states

    def __getitem__(self, slug: str) -> Mapping[str, str]:
        build = self._states[slug].build
        if build is None:
            raise KeyError(slug)
        return build.files

    def __iter__(self) -> Iterator[str]:
        return (slug for slug, state in self._states.items() if state.build is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class EngineState:
    """Tasks, builds and runs, in the database and in memory.

    Args:
        events: gets `Committed` for each transaction, then the events of the bus for what changed.

    Attributes:
        defaults: those of the workspace, which complete the policy of each build and the environment of each run.
    """

    def __init__(self, paths: Paths, store: AsyncStore, events: EventBus) -> None:
        self._paths = paths
        self._store = store
        self._events = events
        self._states: dict[str, _TaskState] = {}
        self._agenda = Agenda()
        self._reporting: set[str] = set()  # slugs of the tasks with progress
        self._revision = 0  # of the database that memory agrees with
        self._pause: Pause | None = None
        self.defaults = Defaults()
        self._backfills: dict[int, Backfill] = {}  # those that are running, by id
        self._groups: deque[_Group] = deque()
        self._wakeup = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._is_closing = False
        self._is_uncertain = False  # whether the pause, or the rows of these tasks, may differ from memory
        self._uncertain_slugs: set[str] = set()
        self._is_unknown = False  # whether the rows of all tasks may differ from memory
        self._is_replaced = False  # whether the database has to be opened again
        self._problem: Reason | None = None  # why the database rejects writes
        self._failed_at = 0.0  # by the clock of the event loop

    async def load(self) -> None:
        """Read everything from the database, and begin to accept operations. Nothing is published."""
        self._revision, tasks, recent, active, self._pause, open_runs, backfills = await self._store.read(
            lambda tx: (
                tx.revisions.current,
                tx.tasks.all(),
                tx.runs.recent(RECENT_RUNS),
                tx.tasks.active_builds(),
                tx.system.pause(),
                tx.runs.open(),
                tx.backfills.running(),
            )
        )
        tasks = [_with_build(task, active.get(task.slug)) for task in tasks]
        self._states = {task.slug: _TaskState(task, active.get(task.slug)) for task in tasks}
        for task in tasks:
            self._agenda.set_task(task)
            self._states[task.slug].recent.extend(_recent(run) for run in recent.get(task.slug, ()))
        for run in open_runs:
            if run.task in self._states:
                self._agenda.set_run(run)
        self._agenda.set_pause(self._pause)
        self._backfills = {backfill.id: backfill for backfill in backfills if backfill.task in self._states}
        self._writer = asyncio.create_task(self._write_groups(), name="state writer")

    async def close(self) -> None:
        """Commit what is queued, and stop accepting operations."""
        self._is_closing = True
        self._wakeup.set()
        if self._writer is not None:
            await asyncio.shield(self._writer)  # a caller that is cancelled must not interrupt a commit

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def apply(self, *operations: Operation, flush: bool = True) -> Changes:
        """Commit operations in one transaction, update the memory, publish; return what changed.

        Groups of operations take effect in the order of the calls. A caller that is cancelled does not revoke its
        group.

        Args:
            flush: whether the changes are on the disk when this returns; see `Database.write`.

        Raises:
            OutcomeUnknown: the commit failed. What was stored is read back before the next operation.
            StorageError: the database cannot be used, or the engine is shutting down; nothing changed.
            KeijiError: an operation raised it; nothing changed.
        """
        assert self._writer is not None, "load() comes first"
        if self._is_closing:
            raise StorageError("the engine is shutting down")
        outcome: asyncio.Future[Changes] = asyncio.get_running_loop().create_future()
        outcome.add_done_callback(_mark_retrieved)
        self._groups.append(_Group(operations, outcome, flush))
        self._wakeup.set()
        return await asyncio.shield(outcome)

    def set_run_origin(self, origin: RunOrigin) -> None:
        """Set what is recorded with each run that is claimed from now on."""
        self._store.set_run_origin(origin)

    async def read(self, query: Query[T]) -> T:
        """Return what ``query`` returns, in one transaction. Raises StorageError, and what the query raises."""
        return await self._store.read(query)

    def set_defaults(self, defaults: Defaults) -> None:
        """Use other defaults of the workspace, and publish each task: its view says what comes from there."""
        if defaults != self.defaults:
            self.defaults = defaults
            for slug in self._states:
                self._publish_task(slug)

    def set_progress(self, progress: Mapping[str, Progress]) -> None:
        """Update the progress of live runs, by run id. It is in memory only."""
        live_runs = self._agenda.live
        reporting = {live_runs[run_id].task for run_id in progress if run_id in live_runs}
        for slug in sorted(reporting | self._reporting):
            state = self._states[slug]
            live = self.live_run(slug)
            current = progress.get(live.run_id) if live else None
            if current != state.progress:
                state.progress = current
                self._publish_task(slug)
        self._reporting = {slug for slug in reporting if self._states[slug].progress is not None}

    def set_sources(self, sources: SourceState) -> None:
        """Update how the sources of a task differ from its build. It is in memory only."""
        state = self._states.get(sources.slug)
        if state is not None:
            state.sources = sources
            self._publish_task(sources.slug)

    async def _write_groups(self) -> None:
        while self._groups or not self._is_closing:
            self._wakeup.clear()
            groups = [self._groups.popleft() for _ in range(min(len(self._groups), MAX_BATCH))]
            try:
                if self._is_replaced:
                    await self._reopen()
                    groups += self._groups
                    self._groups.clear()
                    for group in groups:  # they were decided on the former state; their callers decide again
                        group.outcome.set_exception(StorageError("the database was replaced; try again"))
                    continue
                if self._is_uncertain:
                    await self._reload()
            except Exception as error:  # noqa: BLE001 - whatever it was, the callers must not wait forever
                text = error.message if isinstance(error, KeijiError) else repr(error)
                if not self._is_replaced:
                    _log.error("the outcome of a failed commit cannot be read yet: %s", text)
                failure = error if isinstance(error, StorageError) else StorageError(text)
                self._report_failure(failure)
                for group in groups:
                    group.outcome.set_exception(StorageError(text, hint=failure.hint))
                if not self._groups and not self._is_closing:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(RELOAD_INTERVAL):
                            await self._wakeup.wait()
                continue
            if groups:
                await self._commit(groups)
            else:
                await self._wakeup.wait()

    async def _commit(self, groups: list[_Group]) -> None:
        try:
            outcomes = await self._store.write_batch(
                [group.operations for group in groups], flush=any(group.flush for group in groups)
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, the callers must not wait forever
            outcomes = [error] * len(groups)
        changed: dict[str, None] = {}
        self._report(outcomes)
        for group, outcome in zip(groups, outcomes, strict=True):
            if isinstance(outcome, Changes):
                changed |= dict.fromkeys(self._update(outcome))
                group.outcome.set_result(outcome)
                continue
            if isinstance(outcome, OutcomeUnknown) and outcome.changes:
                self._is_uncertain = True
                self._uncertain_slugs |= outcome.changes.slugs()
            group.outcome.set_exception(outcome)
        # Once per batch, however many groups changed a task. The callers continue after this.
        for slug in changed:
            self._publish_task(slug)

    # ── whether the database is usable ───────────────────────────────────────────────────────────────────────────

    async def watch_database(self) -> None:
        """Check each second whether the database is usable, until cancelled, and publish each change of that.

        While it is not, it is also written to, without an effect: nothing else may need it.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            if self._is_replaced:
                self._wakeup.set()  # the writer looks for a replacement
                continue
            is_sound = self._problem is None
            try:
                await self._store.check(deep=not is_sound)
            except StorageError as error:
                self._report_failure(error)
            else:
                if not is_sound and loop.time() - self._failed_at >= SOUND_AFTER:
                    self._set_problem(None)

    def _report(self, outcomes: Collection[Changes | Exception]) -> None:
        failed = next((outcome for outcome in outcomes if isinstance(outcome, StorageError)), None)
        if failed is not None:
            self._report_failure(failed)

    def _report_failure(self, error: StorageError) -> None:
        if isinstance(error, FileReplaced):
            self._is_replaced = True
        self._failed_at = asyncio.get_running_loop().time()
        self._set_problem(reason(Code.DATABASE_UNAVAILABLE, detail=error.message, hint=error.hint))

    def _set_problem(self, problem: Reason | None) -> None:
        if problem == self._problem:
            return
        if problem is None:
            _log.info("the database accepts writes again")
        elif self._problem is None:
            _log.error("the database rejects writes: %s", problem.params["detail"])
        self._problem = problem
        self._events.publish(DatabaseChecked(problem))

    async def _reopen(self) -> None:
        """Open the database that took the place of the one that was deleted or replaced, and take the state from it.

        Raises:
            StorageError: there is none, or it cannot be used. The content of the former one is saved by then.
        """
        if not await self._store.reopen(with_tasks=bool(self._states)):
            await self._store.check()  # it raises what is wrong
        self._is_replaced = False
        self._is_uncertain = self._is_unknown = True
        await self._reload()
        self._set_problem(None)
        self._events.publish(DatabaseReplaced())

    def _update(self, changes: Changes) -> list[str]:
        """Update the memory from a committed transaction, and publish all but the tasks; return the slugs of those."""
        removed = [slug for slug in changes.removed if self._remove(slug)]
        for slug, new_slug in changes.renamed.items():
            if new_slug != slug and slug in self._states:
                self._states[new_slug] = self._states[slug]  # with its latest runs and its build
                self._remove(slug)
                removed.append(slug)
        changed: dict[str, None] = {}
        for slug, task in changes.tasks.items():
            self._set_task(task)
            changed[slug] = None
        for slug, build in changes.builds.items():
            if (state := self._states.get(slug)) is not None:
                state.build, state.sources = build, None
        runs = [run for run in changes.runs.values() if run.task in self._states]
        for run in runs:
            self._set_run(run)
            changed[run.task] = None
        backfills = [backfill for backfill in changes.backfills.values() if backfill.task in self._states]
        for backfill in backfills:
            self._set_backfill(backfill)
        if changes.pause_changed:
            self._pause = changes.pause
            self._agenda.set_pause(changes.pause)
        self._revision = max(self._revision, changes.revision)
        self._events.publish(Committed(changes))
        for slug in removed:
            self._events.publish(p.TaskRemoved(slug=slug))
        for run in runs:
            self._events.publish(p.RunChanged(run=run))
        for backfill in backfills:
            self._events.publish(p.BackfillChanged(backfill=backfill_view(backfill)))
        return list(changed)

    def _set_task(self, task: Task) -> None:
        state = self._states.get(task.slug)
        if state is None:
            self._states[task.slug] = _TaskState(task)
        else:
            state.task = task
        self._agenda.set_task(task)

    def _set_run(self, run: Run) -> None:
        state = self._states[run.task]
        if run.state in OPEN:
            self._agenda.set_run(run)
            return
        self._agenda.remove_run(run.run_id)
        if self.live_run(run.task) is None:
            state.progress = None
        if _had_process(run):
            state.add_recent(run)

    def _set_backfill(self, backfill: Backfill) -> None:
        if backfill.state is BackfillState.RUNNING:
            self._backfills[backfill.id] = backfill
        else:
            self._backfills.pop(backfill.id, None)

    def _remove(self, slug: str) -> bool:
        self._backfills = {number: each for number, each in self._backfills.items() if each.task != slug}
        self._agenda.remove_task(slug)
        self._reporting.discard(slug)
        return self._states.pop(slug, None) is not None

    def _publish_task(self, slug: str) -> None:
        if slug in self._states:
            self._events.publish(p.TaskChanged(task=self.view(slug)))

    # ── after a commit whose outcome is unknown ──────────────────────────────────────────────────────────────────

    async def _reload(self) -> None:
        """Read the affected tasks again, and treat each difference from the memory as a change."""
        slugs = self._uncertain_slugs
        if self._is_unknown:
            slugs = self._states.keys() | {task.slug for task in await self._store.read(lambda tx: tx.tasks.all())}
        running = [number for number, backfill in self._backfills.items() if backfill.task in slugs]
        stored = await self._store.read(
            partial(_stored, slugs=slugs, open_ids=self._open_ids(slugs), running_backfills=running)
        )
        self._revision = stored.revision
        changes = Changes(pause=stored.pause, pause_changed=stored.pause != self._pause)
        for slug in sorted(slugs & self._states.keys()):
            task = stored.tasks.get(slug)
            if task is None or task.id != self._states[slug].task.id:
                changes.removed.append(slug)
        known = {slug: self._states[slug] for slug in slugs & self._states.keys() if slug not in changes.removed}
        for slug, task in stored.tasks.items():
            if slug not in known or known[slug].task != task:
                changes.tasks[slug] = task
        for slug, build in stored.builds.items():
            if slug not in known or known[slug].build != build:
                changes.builds[slug] = build
        for run_id, run in stored.runs.items():
            if run.task not in known or self._agenda.run(run_id) != run:
                changes.runs[run_id] = run
        changes.backfills = {
            number: backfill
            for number, backfill in stored.backfills.items()
            if backfill.task not in known or self._backfills.get(number) != backfill
        }
        self._is_uncertain = self._is_unknown = False
        self._uncertain_slugs = set()
        if changes:
            for slug in self._update(changes):
                self._publish_task(slug)

    def _open_ids(self, slugs: Collection[str]) -> set[str]:
        return {run.run_id for slug in slugs for run in self._agenda.runs(slug)}

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def pause(self) -> Pause | None:
        """The pause of the whole system."""
        return self._pause

    def find(self, name: str) -> Task:
        """Return the task with this name or slug. Raises TaskNotFound, with the nearest name as a hint."""
        return self._states[names.find_slug(name, self.names())].task

    def names(self, *, but: str = "") -> list[tuple[str, str]]:
        """Return (name, slug) of each task, except of the one with the slug ``but``."""
        return [(state.task.name, slug) for slug, state in self._states.items() if slug != but]

    def tasks(self) -> list[Task]:
        return [state.task for state in self._states.values()]

    def task(self, slug: str) -> Task | None:
        state = self._states.get(slug)
        return state.task if state else None

    def build(self, slug: str) -> Build | None:
        """Return the active build of a task; None before its first build."""
        state = self._states.get(slug)
        return state.build if state else None

    def active_files(self) -> Mapping[str, Mapping[str, str]]:
        """Return a live mapping slug → (path → hash) of each active build, for the watcher."""
        return _ActiveFiles(self._states)

    def open_runs(self, slug: str | None = None) -> list[Run]:
        """Return the runs that have not ended, of one task or of all, oldest first."""
        if slug is not None:
            return list(self._agenda.runs(slug))
        runs = (run for runs in self._agenda.busy.values() for run in runs)
        return sorted(runs, key=lambda run: run.run_id)

    def open_run(self, run_id: str) -> Run | None:
        """Return a run that has not ended; None if there is no such run."""
        return self._agenda.run(run_id)

    def due(self, now: datetime) -> list[str]:
        """Return the slugs of the tasks that are due, in due order."""
        return self._agenda.due(now)

    def scheduler_view(self, now: datetime, conditions: Conditions) -> SchedulerView:
        """Return what matters to the scheduler."""
        return replace(self._agenda.view(now, conditions), revision=self._revision)

    def running_backfills(self) -> tuple[tuple[RunningBackfill, ...], int, int]:
        """Return the running backfills, the number of live runs of all tasks, and the revision of the state."""
        running = tuple(
            RunningBackfill(backfill, self._states[backfill.task].task, self._agenda.runs(backfill.task))
            for backfill in self._backfills.values()
        )
        return running, len(self._agenda.live), self._revision

    def backfills(self, slug: str) -> list[Backfill]:
        """Return the running backfills of a task: one, or none."""
        return [backfill for backfill in self._backfills.values() if backfill.task == slug]

    def live_run(self, slug: str) -> Run | None:
        """Return a live run of a task: one that has a process, or is about to have one."""
        return self._agenda.runs(slug).first_live

    def view(self, slug: str) -> TaskView:
        """Return a task as clients see it."""
        return _view(self._states[slug], self._agenda.runs(slug), self._paths, self.defaults)

    def views(self) -> tuple[TaskView, ...]:
        """Return every task as clients see it, by name."""
        return tuple(
            self.view(task.slug) for task in sorted(self.tasks(), key=lambda task: names.natural_sort_key(task.name))
        )


def _stored(
    transaction: Transaction, *, slugs: Collection[str], open_ids: Collection[str], running_backfills: Collection[int]
) -> Changes:
    """Return what the database has about some tasks, their open runs, and the pause of the system.

    Args:
        open_ids: runs that are open in memory, and may have ended in the database.
        running_backfills: likewise.
    """
    builds = transaction.tasks.active_builds(slugs)
    stored = Changes(
        tasks={task.slug: _with_build(task, builds.get(task.slug)) for task in transaction.tasks.all(slugs)},
        builds=builds,
        runs={run.run_id: run for run in transaction.runs.open(slugs)},
        backfills={each.id: each for each in transaction.backfills.running() if each.task in slugs},
        pause=transaction.system.pause(),
        revision=transaction.revisions.current,
    )
    for run_id in sorted(set(open_ids) - stored.runs.keys()):
        with suppress(RunNotFound):
            stored.runs[run_id] = transaction.runs.get(run_id)
    for number in sorted(set(running_backfills) - stored.backfills.keys()):
        with suppress(BackfillNotFound):
            stored.backfills[number] = transaction.backfills.get(number)
    return stored


def _with_build(task: Task, build: Build | None) -> Task:
    """Return the task; as broken if the record of its active build cannot be read."""
    if task.build is None or build is not None or task.broken is not None:
        return task
    return as_broken(task, f"the record of the build {task.build} is damaged")


def _mark_retrieved(outcome: asyncio.Future[Changes]) -> None:
    """Keep asyncio from reporting an error whose caller was cancelled."""
    if not outcome.cancelled():
        outcome.exception()


def _had_process(run: Run) -> bool:
    """Return whether an ended run had a process, by the rule of storage/recent.py."""
    return run.state not in NEVER_STARTED and (run.state is not RunState.STOPPED or run.started_at is not None)


def _recent(run: Run) -> RecentRun:
    assert run.finished_at is not None, "only ended runs are recent"
    return RecentRun(
        run_id=run.run_id,
        state=run.state,
        finished_at=run.finished_at,
        seconds=run.seconds,
        exit_code=run.exit_code,
        signal=run.signal,
        reason=run.reason,
        params=params_of(run),
    )


def params_of(run: Run) -> dict[str, str]:
    """Return the parameters of a run as text."""
    return {name: str(value) for name, value in run.params.items()}


def _texts(task: Task, build: Build | None, paths: Paths, defaults: Defaults) -> _Texts:
    schedule, execution = task.schedule, build.execution if build is not None else Execution()
    inherited: list[str] = []
    if build is not None:
        inherited = sorted(task.policy.given - build.policy.given)
        inherited += [f"env.{name}" for name in sorted(defaults.env.keys() - execution.env.keys())]
    return _Texts(
        defaults=tuple(inherited),
        schedule=schedule.compact_form() if schedule else "",
        schedule_description=schedule.describe() if schedule else "",
        events=tuple(event.describe() for event in schedule.events) if schedule else (),
        policy=task.policy.describe(),
        log_path=str(paths.task_log(task.slug)),
        source_path=str(paths.source(task.slug)),
        executable=str(paths.link(task.slug)) if task.build else "",
        command=describe_command(build, paths.builds / build.hash) if build is not None else "",
        kind=str(execution.kind) if build is not None else "",
        parameters=execution.parameters,
        tags=execution.tags,
    )


def _view(state: _TaskState, runs: TaskRuns, paths: Paths, defaults: Defaults) -> TaskView:
    task, texts = state.task, state.texts(paths, defaults)
    live, queued = runs.first_live, runs.first_queued
    is_retry = queued is not None and queued.trigger is Trigger.RETRY
    return TaskView(
        id=task.id,
        task_id=task.task_id,
        name=task.name,
        slug=task.slug,
        description=task.description,
        schedule=texts.schedule,
        schedule_description=texts.schedule_description,
        type=task.schedule.type if task.schedule else "",
        policy=texts.policy,
        defaults=texts.defaults,
        overlap=str(task.policy.overlap),
        last_execution_time=task.last_at,
        next_execution_time=task.next_at,
        log_path=texts.log_path,
        source_path=texts.source_path,
        executable=texts.executable,
        command=texts.command,
        kind=texts.kind,
        parameters=texts.parameters,
        tags=texts.tags,
        params=params_of(live) if live is not None else {},
        is_running=live is not None,
        is_queued=queued is not None,
        is_error=task.is_error,
        is_disabled=task.is_disabled,
        error=task.error,
        build=task.build,
        run_id=live.run_id if live else None,
        running_since=(live.started_at or live.created_at) if live else None,
        retry_at=queued.due_at if queued and is_retry else None,
        source_changes=state.sources.changes if state.sources else (),
        source_error=state.sources.error if state.sources else "",
        recent=tuple(state.recent),
        zone=task.policy.tz or "",
        running=len(runs.live),
        waiting=queued.reason if queued and not is_retry else None,
        waiting_until=queued.due_at if queued and not is_retry else None,
        pause=task.pause,
        failures=task.failures,
        held_since=task.held_at,
        progress=state.progress,
        broken=task.broken,
        events=texts.events,
        is_pinned=state.build is not None and state.build.is_pinned,
        rolled_back_from=task.rolled_back_from,
    )
