"""What the engine knows, in memory: tasks, builds, open and recent runs, the state of sources.

It is loaded from the ledger at the start and changed only after the ledger was. Whatever changes on it is told to
everybody: it is the one place from which views and events of tasks and runs come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from keiji import names
from keiji.paths import Paths
from keiji.records import Build, Pause, Progress, Run, Task
from keiji.states import ENDED, NEVER_STARTED, OPEN, RunState, Trigger
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import RecentRun, TaskView
from keiji_engine.scheduler.due_queue import DueQueue
from keiji_engine.scheduler_service import SchedulerView
from keiji_engine.storage.async_store import AsyncStore
from keiji_engine.storage.store import Store

if TYPE_CHECKING:  # a command without an engine watches nothing
    from keiji_engine.watcher import SourceState

RECENT = 20
MOST_DUE = 100  # tasks that are decided about in one go, so that nobody waits for long after a long stop
_SHOWN_AS_RECENT = ENDED - NEVER_STARTED


@dataclass
class _Place:
    """Everything on the board about one task."""

    task: Task
    build: Build | None = None
    open_runs: dict[str, Run] = field(default_factory=dict)
    recent: deque[RecentRun] = field(default_factory=lambda: deque(maxlen=RECENT))
    sources: SourceState | None = None
    progress: Progress | None = None  # of the live run

    @property
    def live(self) -> Run | None:
        return next((run for run in self.open_runs.values() if run.is_live), None)

    @property
    def queued(self) -> list[Run]:
        return [run for run in self.open_runs.values() if run.state is RunState.QUEUED]


class _ActiveFiles(Mapping[str, Mapping[str, str]]):
    """A view, so that asking about one task does not cost a look at all of them."""

    def __init__(self, places: Mapping[str, _Place]) -> None:
        self._places = places

    def __getitem__(self, slug: str) -> Mapping[str, str]:
        build = self._places[slug].build
        if build is None:
            raise KeyError(slug)
        return build.files

    def __iter__(self) -> Iterator[str]:
        return (slug for slug, place in self._places.items() if place.build is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class EngineState:
    """The engine's picture of the world.

    Args:
        tell: takes each event.
    """

    def __init__(self, paths: Paths, tell: Callable[[p.AnyEvent], None]) -> None:
        self._paths = paths
        self._tell = tell
        self._places: dict[str, _Place] = {}
        self._busy: set[str] = set()  # the tasks that have open runs
        self._agenda = DueQueue()
        self.pause: Pause | None = None  # of everything

    async def load(self, ledger: AsyncStore) -> None:
        """Take everything from the ledger; nothing is told."""
        tasks = await ledger.do(Store.tasks)
        recent = await ledger.do(Store.recent, RECENT)
        active = await ledger.do(Store.active_builds)
        self.pause = await ledger.do(Store.pause)
        self._places = {task.slug: _Place(task, active.get(task.slug)) for task in tasks}
        for task in tasks:
            self._agenda.put(task.slug, task.next_at)
            self._places[task.slug].recent.extend(_recent(run) for run in recent.get(task.slug, ()))
        for run in await ledger.do(Store.open_runs):
            if run.task in self._places:
                self._places[run.task].open_runs[run.run_id] = run
                self._busy.add(run.task)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    def find(self, wanted: str) -> Task:
        """Return the task of that name or slug. Raises TaskNotFound, with the nearest one."""
        return self._places[names.find(wanted, self.names())].task

    def names(self, *, but: str = "") -> list[tuple[str, str]]:
        """Return (name, slug) of each task, except of the one in the folder ``but``."""
        return [(place.task.name, slug) for slug, place in self._places.items() if slug != but]

    def tasks(self) -> list[Task]:
        return [place.task for place in self._places.values()]

    def task(self, slug: str) -> Task | None:
        place = self._places.get(slug)
        return place.task if place else None

    def build(self, slug: str) -> Build | None:
        """Return the active build of a task; None before the first."""
        place = self._places.get(slug)
        return place.build if place else None

    def active_files(self) -> Mapping[str, Mapping[str, str]]:
        """Return slug → (path → hash) of each active build, for the watcher, which asks often."""
        return _ActiveFiles(self._places)

    def open_runs(self, slug: str | None = None) -> list[Run]:
        """Return the runs that have not ended, of one task or of all, in the order in which they came."""
        slugs = self._busy if slug is None else self._busy & {slug}
        found = (run for slug in slugs for run in self._places[slug].open_runs.values())
        return sorted(found, key=lambda run: run.run_id)

    def due(self, now: datetime) -> list[str]:
        """Return the tasks with an instant that is due, in due order."""
        return self._agenda.look(now)[0]

    def sight(self, now: datetime) -> SchedulerView:
        """Return what matters to the scheduler."""
        due, following = self._agenda.look(now)
        due = due[:MOST_DUE]
        queued = [slug for slug in sorted(self._busy) if self._places[slug].queued]
        tasks = tuple(self._places[slug].task for slug in dict.fromkeys((*due, *queued)))
        return SchedulerView(tasks, tuple(self.open_runs()), following)

    def live_run(self, slug: str) -> Run | None:
        """Return the run of a task that has, or is about to have, a process."""
        place = self._places.get(slug)
        return place.live if place else None

    def view(self, slug: str) -> TaskView:
        """Return a task as people see it."""
        return _view(self._places[slug], self._paths)

    def views(self) -> tuple[TaskView, ...]:
        """Return every task as people see it, by name."""
        return tuple(
            self.view(task.slug) for task in sorted(self.tasks(), key=lambda task: names.natural_sort_key(task.name))
        )

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────

    def add_task(self, task: Task) -> None:
        """Show a new task."""
        self._places[task.slug] = _Place(task)
        self._agenda.put(task.slug, task.next_at)
        self._changed(task.slug)

    def put_task(self, task: Task, build: Build | None = None) -> None:
        """Show what became of a task, with the build that it switched to, if it did."""
        place = self._places[task.slug]
        place.task = task
        self._agenda.put(task.slug, task.next_at)
        if build is not None:
            place.build = build
            place.sources = None
        self._changed(task.slug)

    def put_runs(self, runs: Iterable[Run], tasks: Iterable[Task] = ()) -> None:
        """Show runs that moved, and what tasks became through that."""
        for task in tasks:
            if task.slug in self._places:
                self._places[task.slug].task = task
                self._agenda.put(task.slug, task.next_at)
        changed = {task.slug: None for task in tasks}
        for run in runs:
            place = self._places.get(run.task)
            if place is None:
                continue
            if run.state in OPEN:
                place.open_runs[run.run_id] = run
            else:
                place.open_runs.pop(run.run_id, None)
                if run.state in _SHOWN_AS_RECENT:
                    place.recent.append(_recent(run))
            if place.open_runs:
                self._busy.add(run.task)
            else:
                self._busy.discard(run.task)
            if place.live is None:
                place.progress = None
            changed[run.task] = None
            self._tell(p.RunChanged(run=run))
        for slug in changed:
            self._changed(slug)

    def put_progress(self, told: Mapping[str, Progress]) -> None:
        """Show how far runs have got, by their ids."""
        for slug in sorted(self._busy):
            place = self._places[slug]
            live = place.live
            now = told.get(live.run_id) if live else None
            if now != place.progress:
                place.progress = now
                self._changed(slug)

    def put_sources(self, state: SourceState) -> None:
        """Show whether the sources of a task differ from its build."""
        place = self._places.get(state.slug)
        if place is not None:
            place.sources = state
            self._changed(state.slug)

    def remove(self, slug: str) -> None:
        """Show a task no more."""
        self._agenda.put(slug, None)
        self._busy.discard(slug)
        if self._places.pop(slug, None):
            self._tell(p.TaskRemoved(slug=slug))

    def _changed(self, slug: str) -> None:
        if slug in self._places:
            self._tell(p.TaskChanged(task=self.view(slug)))


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
    )


def _view(place: _Place, paths: Paths) -> TaskView:
    task, schedule = place.task, place.task.schedule
    live = place.live
    queued = min(place.queued, key=lambda run: run.due_at or run.created_at, default=None)
    is_retry = queued is not None and queued.trigger is Trigger.RETRY
    return TaskView(
        id=task.id,
        task_id=task.task_id,
        name=task.name,
        slug=task.slug,
        description=task.description,
        schedule=schedule.compact_form() if schedule else "",
        schedule_description=schedule.describe() if schedule else "",
        type=schedule.type if schedule else "",
        policy=task.policy.describe(),
        last_execution_time=task.last_at,
        next_execution_time=task.next_at,
        log_path=str(paths.task_log(task.slug)),
        source_path=str(paths.source(task.slug)),
        executable=str(paths.link(task.slug)) if task.build else "",
        is_running=live is not None,
        is_queued=queued is not None,
        is_error=task.is_error,
        is_disabled=task.is_disabled,
        error_text=task.error_text,
        build=task.build,
        run_id=live.run_id if live else None,
        running_since=(live.started_at or live.created_at) if live else None,
        retry_at=queued.due_at if queued and is_retry else None,
        source_changes=place.sources.changes if place.sources else (),
        source_error=place.sources.error if place.sources else "",
        recent=tuple(place.recent),
        zone=task.policy.tz or "",
        running=sum(run.is_live for run in place.open_runs.values()),
        waiting=queued.reason if queued and not is_retry else "",
        waiting_until=queued.due_at if queued and not is_retry else None,
        pause=task.pause,
        failures=task.failures,
        held_since=task.held_at,
        progress=place.progress,
    )
