"""What the planner reads and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keiji.reasons import Reason
from keiji.records import Claim, Pause, Run, Task


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


@dataclass(frozen=True, slots=True)
class SchedulerView:
    """The part of the state that matters to the scheduler at one moment.

    Args:
        tasks: the tasks that are due, and those with queued runs.
        open_runs: all runs that have not ended.
        next_at: when the first of the other tasks is due.
    """

    tasks: tuple[Task, ...]
    open_runs: tuple[Run, ...]
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now.

    Args:
        claims: one for each due instant, or for a range of them.
        start: ids of queued runs whose time has come.
        stop: (id, reason) of live runs that others replace.
        skip: (id, reason) of queued runs that others replace.
        wake_at: the next instant at which anything is due; None if nothing is.
        slugs: the tasks that it decides about.
        seen: ids of their open runs that it took into account.
    """

    claims: tuple[Claim, ...] = ()
    start: tuple[str, ...] = ()
    stop: tuple[tuple[str, Reason], ...] = ()
    skip: tuple[tuple[str, Reason], ...] = ()
    wake_at: datetime | None = None
    slugs: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()

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
