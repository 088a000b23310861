"""What the planner reads and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from keiji.reasons import Reason
from keiji.records import Claim, Pause, Run, Task
from keiji_engine.scheduler.task_runs import TaskRuns


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Conditions for all tasks.

    Args:
        can_run: whether runs can be started at all.
        pause: while there is one, no occurrence starts.
        max_parallel: maximum number of live runs; None for no limit.
    """

    can_run: bool = True
    pause: Pause | None = None
    max_parallel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerView:
    """The part of the state that matters to the scheduler at one moment. Its size does not depend on the backlog.

    Args:
        due: tasks that are due now, in due order.
        behind: tasks that are so late that they catch up, the least late first.
        waiting: tasks with queued runs that may start, or that replace live ones.
        runs: the open runs of at least these tasks, by slug; a task without open runs may be absent.
        live: number of live runs of all tasks.
        catching_up: number of open runs that were late when they were claimed, and start now or later.
        next_at: when the next task is due, or the next queued run may start.
        revision: revision of the state; see `Changes`.
    """

    due: tuple[Task, ...] = ()
    behind: tuple[Task, ...] = ()
    waiting: tuple[Task, ...] = ()
    runs: Mapping[str, TaskRuns] = field(default_factory=dict)
    live: int = 0
    catching_up: int = 0
    next_at: datetime | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now.

    Args:
        claims: one for each due instant, or for a range of them.
        start: queued runs whose time has come.
        stop: (id, reason) of live runs that others replace.
        skip: (run, reason) of queued runs that others replace.
        wake_at: the next instant at which anything is due; None if nothing is.
        tasks: the tasks that it decides about, by slug, as they were when it was made.
        revision: revision of the state on which it was made.
    """

    claims: tuple[Claim, ...] = ()
    start: tuple[Run, ...] = ()
    stop: tuple[tuple[str, Reason], ...] = ()
    skip: tuple[tuple[Run, Reason], ...] = ()
    wake_at: datetime | None = None
    tasks: Mapping[str, Task] = field(default_factory=dict)
    revision: int = 0

    def __bool__(self) -> bool:
        return bool(self.claims or self.start or self.stop or self.skip)

    @property
    def claimed_tasks(self) -> list[str]:
        """The slugs of the tasks with claims, in the order of the claims."""
        return list(dict.fromkeys(claim.task for claim in self.claims))


def is_held_back(task: Task, pause: Pause | None) -> bool:
    """Return whether only manual runs of a task start."""
    is_paused = pause is not None or task.pause is not None
    return task.is_disabled or is_paused or task.held_at is not None or task.broken is not None
