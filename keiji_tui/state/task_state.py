"""In which state a table shows a task, and how many tasks are in which. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from keiji_engine.bus.views import TaskView

_START_DELAY = timedelta(seconds=2)


class TaskState(Enum):
    """What is most worth knowing of a task, as (glyph, word). A glyph is never the colour alone."""

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
    """Return the state in which a table shows a task."""
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
    """How many tasks there are, and how many of them are worth a word."""

    tasks: int = 0
    running: int = 0
    failing: int = 0
    held: int = 0
    paused: int = 0
    disabled: int = 0
    changed: int = 0


class TaskCounter:
    """Counts of tasks, kept up to date one task at a time."""

    def __init__(self) -> None:
        self._sums = [0] * len(TaskCounts.__slots__)

    def add(self, task: TaskView) -> None:
        """Count a task."""
        for place, counts in enumerate(_flags(task)):
            self._sums[place] += counts

    def remove(self, task: TaskView) -> None:
        """Count a task no more."""
        for place, counts in enumerate(_flags(task)):
            self._sums[place] -= counts

    @property
    def counts(self) -> TaskCounts:
        return TaskCounts(*self._sums)


def _flags(task: TaskView) -> tuple[bool, ...]:
    """Return where a task counts, in the order of `Counts`."""
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
