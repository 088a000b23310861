"""A task as a row of the table. Content only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from rich.cells import cell_len
from textual.content import Content

from keiji.states import RunState
from keiji_engine.bus.views import TaskView
from keiji_tui.commands import under_way
from keiji_tui.logs.sanitise import plain
from keiji_tui.store import Store, TaskState, state_of
from keiji_tui.widgets.columns import Column
from keiji_tui.words import FAILED_RUN, brief, elapsed, last, lasting, sparkline, until

COLUMNS = (
    Column("state", "", 1, 1, 0),
    Column("name", "NAME", 8, 40, 1),
    Column("schedule", "SCHEDULE", 9, 24, 3),
    Column("next", "NEXT", 11, 16, 2),
    Column("last", "LAST", 12, 20, 4),
    Column("took", "TOOK", 6, 7, 6, right=True),
    Column("runs", "LAST 20 RUNS", 12, 20, 8, keeps_end=True),
    Column("source", "", 1, 16, 1, is_mark=True),
)
COLOURS = {
    TaskState.RUNNING: "$text-accent",
    TaskState.RETRYING: "$text-warning",
    TaskState.FAILING: "$text-error",
    TaskState.UNBUILT: "$text-muted",
    TaskState.DISABLED: "$text-disabled",
    TaskState.IDLE: "$text-success",
}
_DIFFERS = "◆ sources differ"


def wanted(tasks: Iterable[TaskView]) -> dict[str, int]:
    """Return how many cells the names and schedules of ``tasks`` would take."""
    names = schedules = 0
    differs = 1
    for task in tasks:
        names = max(names, cell_len(plain(task.name)))
        schedules = max(schedules, cell_len(brief(plain(task.schedule_words))))
        differs = len(_DIFFERS) if task.source_changes else differs
    return {"name": names, "schedule": schedules, "next": 14, "last": 14, "source": differs}


def cells(task: TaskView, store: Store, now: datetime) -> Mapping[str, Content]:
    """Return a task's cells by the id of their column."""
    state = state_of(task)
    colour = COLOURS[state]
    is_off = state in (TaskState.DISABLED, TaskState.UNBUILT)
    quiet = "$text-disabled" if is_off else "$text-muted"
    recent = task.recent[-1] if task.recent else None
    is_bad = recent is not None and recent.state not in (RunState.SUCCEEDED, RunState.STOPPED)
    took = lasting(recent.seconds) if recent and recent.seconds is not None else ""
    return {
        "state": Content.styled(state.glyph, colour),
        "name": Content.styled(plain(task.name), "$text-muted" if is_off else "bold"),
        "schedule": Content.styled(brief(plain(task.schedule_words)), quiet),
        "next": _next(task, state, store, now),
        "last": Content.styled(
            last(recent, now, store.zone) if recent else "never ran", "$text-error" if is_bad else quiet
        ),
        "took": Content.styled(took, quiet),
        "runs": _runs(task, "$text-disabled" if is_off else "$primary"),
        "source": _source(task, store),
    }


def _next(task: TaskView, state: TaskState, store: Store, now: datetime) -> Content:
    verb = store.pending_of(task)
    if verb:
        return Content.styled(under_way(verb), "$text-warning")
    if state is TaskState.RUNNING:
        since = task.running_since
        text = f"running {elapsed((now - since).total_seconds())}" if since else "running"
        return Content.styled(text, COLOURS[state])
    if state in (TaskState.DISABLED, TaskState.UNBUILT):
        return Content.styled(state.word, "$text-disabled")
    if task.retry_at is not None:
        return Content.styled(f"retry {until(task.retry_at, now, store.zone)}", COLOURS[TaskState.RETRYING])
    if not store.is_scheduling():
        return Content.styled("scheduler off", "$text-warning")
    if task.next_execution_time is None:
        return Content.styled("never", "$text-disabled")
    return Content(until(task.next_execution_time, now, store.zone))


def _runs(task: TaskView, colour: str) -> Content:
    line = sparkline(task.recent[-20:])
    return Content.assemble(*((letter, "$text-error" if letter == FAILED_RUN else colour) for letter in line))


def _source(task: TaskView, store: Store) -> Content:
    if not task.source_changes:
        return Content("")
    colour = "$text-warning" if store.is_offered(task) else "$text-disabled"
    return Content.styled(_DIFFERS, colour)
