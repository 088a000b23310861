"""All tasks and open runs, indexed by what the scheduler asks for, so that no plan walks through all of them."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from datetime import datetime, timedelta

from keiji.policy import Overlap
from keiji.records import Pause, Run, Task
from keiji_engine.scheduler.backlog import LATE_AFTER
from keiji_engine.scheduler.due_queue import DueQueue
from keiji_engine.scheduler.model import Conditions, SchedulerView, is_held_back
from keiji_engine.scheduler.task_runs import TaskRuns, due_of, is_caught_up

MAX_DUE = 200  # tasks per plan that are due now
MAX_BEHIND = 50  # tasks per plan that catch up
MAX_STARTS = 500  # tasks per plan whose queued runs start
BURST_INTERVAL = timedelta(seconds=1)  # in which a limited number of runs start that catch up

_NO_RUNS = TaskRuns()


class Agenda:
    """What is to be done, and when. It is kept up to date by `set_task`, `set_run` and so on."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._runs: dict[str, TaskRuns] = {}  # only of tasks that have open runs
        self._run_tasks: dict[str, str] = {}  # id of each open run → slug of its task
        self._live: dict[str, Run] = {}
        self._pause: Pause | None = None
        self._due = DueQueue()
        # When the next queued run of a task may start. Runs that catch up start after all others.
        self._ready, self._ready_late = DueQueue(), DueQueue()
        self._replacing = DueQueue()  # when a queued run replaces the live runs of its task
        self._catching_up: list[tuple[datetime, str]] = []  # when each open run starts that was late, and its id

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────

    def set_task(self, task: Task) -> None:
        """Add a task, or replace the record of it."""
        self._tasks[task.slug] = task
        self._due.set(task.slug, task.next_at)
        self._index_queue(task)

    def remove_task(self, slug: str) -> None:
        """Remove a task, with its open runs."""
        for run in self.runs(slug):
            self._forget(run)
        self._tasks.pop(slug, None)
        self._runs.pop(slug, None)
        for queue in (self._due, self._ready, self._ready_late, self._replacing):
            queue.set(slug, None)

    def set_run(self, run: Run) -> None:
        """Add an open run of a known task, or replace the record of it."""
        runs = self._runs.setdefault(run.task, TaskRuns())
        known = runs.get(run.run_id)
        if known is not None:
            self._forget(known)
        runs.put(run)
        self._run_tasks[run.run_id] = run.task
        if run.is_live:
            self._live[run.run_id] = run
        if is_caught_up(run):
            bisect.insort(self._catching_up, (due_of(run), run.run_id))
        self._index_queue(self._tasks[run.task])

    def remove_run(self, run_id: str) -> None:
        """Remove a run that has ended; do nothing if it is unknown."""
        run = self.run(run_id)
        if run is None:
            return
        self._forget(run)
        runs = self._runs[run.task]
        runs.remove(run_id)
        if not runs:
            del self._runs[run.task]
        self._index_queue(self._tasks[run.task])

    def set_pause(self, pause: Pause | None) -> None:
        """Set the pause of the whole system."""
        self._pause = pause
        for slug in self._runs:
            self._index_queue(self._tasks[slug])

    def _forget(self, run: Run) -> None:
        self._run_tasks.pop(run.run_id, None)
        self._live.pop(run.run_id, None)
        if is_caught_up(run):
            del self._catching_up[bisect.bisect_left(self._catching_up, (due_of(run), run.run_id))]

    def _index_queue(self, task: Task) -> None:
        """Find out when queued runs of a task may start or replace others, which changes only with task and runs."""
        ready_at = late_at = replaces_at = None
        runs = self._runs.get(task.slug)
        if runs is not None and runs.waiting:
            is_held = is_held_back(task, self._pause)
            if task.policy.overlap is Overlap.REPLACE and runs.regular_live:
                replaces_at = runs.replacement_at(only_manual=is_held)
            if has_room(task, runs):
                in_turn = task.policy.overlap is not Overlap.ALLOW
                first = runs.startable_at(only_manual=is_held, in_turn=in_turn)
                if first is not None and is_caught_up(first[1]):
                    late_at = first[0]
                elif first is not None:
                    ready_at = first[0]
        self._ready.set(task.slug, ready_at)
        self._ready_late.set(task.slug, late_at)
        self._replacing.set(task.slug, replaces_at)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def live(self) -> Mapping[str, Run]:
        """All live runs, by id."""
        return self._live

    @property
    def busy(self) -> Mapping[str, TaskRuns]:
        """The open runs of each task that has any, by slug."""
        return self._runs

    def runs(self, slug: str) -> TaskRuns:
        """Return the open runs of a task."""
        return self._runs.get(slug, _NO_RUNS)

    def run(self, run_id: str) -> Run | None:
        """Return an open run; None if there is no such run."""
        slug = self._run_tasks.get(run_id)
        return self._runs[slug].get(run_id) if slug is not None else None

    def due(self, now: datetime) -> list[str]:
        """Return the slugs of all tasks that are due, in due order."""
        return self._due.due(now)

    def view(self, now: datetime, conditions: Conditions) -> SchedulerView:
        """Return what matters to a plan at ``now``: as much as it can decide on at once, the most urgent first."""
        due = self._due.due(now, after=now - LATE_AFTER, limit=MAX_DUE)
        behind = self._due.due(now - LATE_AFTER, limit=MAX_BEHIND, newest_first=True)
        waiting, queues = [], [self._due]
        if conditions.can_run:
            waiting = self._replacing.due(now)
            queues.append(self._replacing)
            free = MAX_STARTS
            if conditions.max_parallel is not None:
                free = min(max(conditions.max_parallel - len(self._live), 0), MAX_STARTS)
            if free:
                waiting += self._ready.due(now, limit=free)
                waiting += self._ready_late.due(now, limit=free)
                queues += [self._ready, self._ready_late]
        recent = bisect.bisect_right(self._catching_up, now - BURST_INTERVAL, key=lambda entry: entry[0])
        slugs = dict.fromkeys((*due, *behind, *waiting))
        return SchedulerView(
            due=tuple(self._tasks[slug] for slug in due),
            behind=tuple(self._tasks[slug] for slug in behind),
            waiting=tuple(self._tasks[slug] for slug in dict.fromkeys(waiting)),
            runs={slug: self._runs[slug] for slug in slugs if slug in self._runs},
            live=len(self._live),
            catching_up=len(self._catching_up) - recent,
            next_at=min(filter(None, (queue.next_after(now) for queue in queues)), default=None),
        )


def has_room(task: Task, runs: TaskRuns) -> bool:
    """Return whether another run of a task may start beside its live runs."""
    if task.policy.overlap is not Overlap.ALLOW:
        return not runs.live
    return task.policy.max_parallel is None or len(runs.live) < task.policy.max_parallel
