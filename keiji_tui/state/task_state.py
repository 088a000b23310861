"""The state of a task as a table shows it, and counts of tasks by state. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from keiji_engine.bus.views import TaskView

_START_DELAY = timedelta(seconds=2)


class TaskState(Enum):
    """The most important state of a task, as (glyph, label). The glyphs differ, so that no colour is needed."""

    RUNNING = ("▶", "running")
    HELD = ("■", "held")
    PAUSED = ("‖", "paused")
    RETRYING = ("↻", "retrying")
    QUEUED = ("▷", "queued")
    FAILING = ("✗", "failing")
    UNBUILT = ("◌", "not built")
    DISABLED = ("○", "disabled")
    IDLE = ("●", "waiting")

    @property
    def glyph(self) -> str:
        return self.value[0]

    @property
    def label(self) -> str:
        return self.value[1]


def state_of(task: TaskView) -> TaskState:
    """Return the state that a table shows for a task."""
    if task.is_running:
        return TaskState.RUNNING
    if task.is_disabled:
        return TaskState.DISABLED
    if task.build is None:
        return TaskState.UNBUILT
    if task.held_since is not None:
        return TaskState.HELD
    if task.pause is not None:
        return TaskState.PAUSED
    if task.retry_at is not None:
        return TaskState.RETRYING
    if task.is_queued or task.waiting:
        return TaskState.QUEUED
    return TaskState.FAILING if task.is_error else TaskState.IDLE


def is_overdue(task: TaskView, now: datetime) -> bool:
    """Return whether a task has not been started although it is due; the engine takes a moment to start a run."""
    return task.next_execution_time is not None and task.next_execution_time < now - _START_DELAY


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """The number of tasks, in all and by state."""

    tasks: int = 0
    running: int = 0
    failing: int = 0
    held: int = 0
    paused: int = 0
    disabled: int = 0
    changed: int = 0


class TaskCounter:
    """Counts tasks incrementally."""

    def __init__(self) -> None:
        self._sums = [0] * len(TaskCounts.__slots__)

    def add(self, task: TaskView) -> None:
        """Add a task to the counts."""
        for place, counts in enumerate(_flags(task)):
            self._sums[place] += counts

    def remove(self, task: TaskView) -> None:
        """Remove a task from the counts."""
        for place, counts in enumerate(_flags(task)):
            self._sums[place] -= counts

    @property
    def counts(self) -> TaskCounts:
        return TaskCounts(*self._sums)


def _flags(task: TaskView) -> tuple[bool, ...]:
    """Return whether a task belongs to each of the counts, in the order of `TaskCounts`."""
    is_on, is_held = not task.is_disabled, task.held_since is not None
    return (
        True,
        task.is_running,
        is_on and task.is_error and not is_held,
        is_on and is_held,
        is_on and task.pause is not None,
        task.is_disabled,
        bool(task.source_changes),
    )
