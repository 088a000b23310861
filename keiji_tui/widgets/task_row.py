"""A task as a row of the table. Content only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from rich.cells import cell_len
from textual.content import Content

from keiji.formats import format_measurement, zone_of
from keiji.states import RunState
from keiji_engine.bus.views import RecentRun, TaskView
from keiji_tui.actions.requests import progress_label
from keiji_tui.state.store import Store
from keiji_tui.state.task_state import TaskState, state_of
from keiji_tui.text.format import (
    abbreviate_schedule,
    format_elapsed,
    format_last_run,
    format_outcome,
    format_until,
    format_wait,
)
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.columns import Column
from keiji_tui.widgets.run_bars import run_bars
from keiji_tui.widgets.table import Cell

COLUMNS = (
    Column("state", "", 1, 1, 0),
    Column("name", "NAME", 15, 40, 1, preferred_width=24, is_shrinkable=True),
    Column("schedule", "SCHEDULE", 9, 24, 4, preferred_width=16, is_shrinkable=True),
    Column("next", "NEXT", 11, 30, 2, preferred_width=14, is_shrinkable=True, growth_limit=48),
    Column("last", "LAST", 15, 20, 3, is_shrinkable=True),
    Column("took", "TOOK", 6, 6, 5, align_right=True),
    Column(
        "runs",
        "LAST 20 RUNS",
        5,
        20,
        6,
        truncate_start=True,
        preferred_width=10,
        is_shrinkable=True,
        short_titles=("LAST RUNS", "RUNS"),
    ),
    Column("source", "", 1, 17, 1, is_symbol=True),
)
COLOURS = {
    TaskState.RUNNING: "$text-accent",
    TaskState.HELD: "$text-error",
    TaskState.PAUSED: "$text-warning",
    TaskState.RETRYING: "$text-warning",
    TaskState.QUEUED: "$text-accent",
    TaskState.FAILING: "$text-error",
    TaskState.UNBUILT: "$text-muted",
    TaskState.DISABLED: "$text-disabled",
    TaskState.IDLE: "$text-success",
}
_LAST = 17  # cells of "exit 1, yesterday"
_NEXT = 14  # cells reserved in the column NEXT for states that come and go, so that the columns keep their places
_BAR = 10  # cells of a progress bar
_CHANGED = "◆ sources changed"


def content_widths(tasks: Iterable[TaskView]) -> dict[str, int]:
    """Return the widths of the contents of columns: names, schedules, and lasting states."""
    names = schedules = source = 0
    following = _NEXT
    for task in tasks:
        names = max(names, cell_len(plain(task.name)))
        schedules = max(schedules, cell_len(abbreviate_schedule(plain(task.schedule_description))))
        source = len(_CHANGED) if task.source_changes else source
        if task.pause is not None or task.held_since is not None:
            following = max(following, _kept_back(task)[0].cell_length)
    return {"name": names, "schedule": schedules, "next": following, "last": _LAST, "source": source}


def task_cells(task: TaskView, store: Store, now: datetime) -> Mapping[str, Cell]:
    """Return the cells of a task by the id of their column."""
    state = state_of(task)
    colour = COLOURS[state]
    is_off = state in (TaskState.DISABLED, TaskState.UNBUILT)
    quiet = "$text-disabled" if is_off else "$text-muted"
    recent = task.recent[-1] if task.recent else None
    is_bad = recent is not None and recent.state not in (RunState.SUCCEEDED, RunState.STOPPED)
    took = format_measurement(recent.seconds) if recent and recent.seconds is not None else ""
    return {
        "state": Content.styled(state.glyph, colour),
        "name": Content.styled(plain(task.name), "$text-muted" if is_off else "bold"),
        "schedule": Content.styled(abbreviate_schedule(plain(task.schedule_description)), quiet),
        "next": _next(task, state, store, now),
        "last": _last(recent, "$text-error" if is_bad else quiet, store, now),
        "took": Content.styled(took, quiet),
        "runs": run_bars(task.recent[-20:], "$text-disabled" if is_off else "$bar"),
        "source": _source(task, store),
    }


def _last(run: RecentRun | None, colour: str, store: Store, now: datetime) -> Cell:
    """Return the outcome and the age of the last run, or only the outcome if the column is narrow."""
    if run is None:
        return Content.styled("never ran", colour)
    texts = (format_last_run(run, now, store.zone), format_outcome(run.state, run.exit_code, run.signal))
    return [Content.styled(text, colour) for text in texts]


def _next(task: TaskView, state: TaskState, store: Store, now: datetime) -> Cell:
    verb = store.pending_of(task)
    if verb:
        return Content.styled(progress_label(verb), "$text-warning")
    if state is TaskState.RUNNING:
        return [Content.styled(text, COLOURS[state]) for text in _running(task, now)]
    if state in (TaskState.DISABLED, TaskState.UNBUILT):
        return Content.styled(state.label, "$text-disabled")
    if state in (TaskState.HELD, TaskState.PAUSED):
        return _kept_back(task)
    if store.pause is not None:
        return Content.styled("paused", "$text-disabled")
    if state is TaskState.QUEUED:
        return _waiting(task, store, now)
    if task.retry_at is not None:
        return Content.styled(f"retry {_until(task.retry_at, task, store, now)}", COLOURS[TaskState.RETRYING])
    if not store.is_scheduler_up():
        return Content.styled("scheduler off", "$text-warning")
    if task.next_execution_time is None:
        return Content.styled(plain(task.next_event) or "never", "$text-muted" if task.events else "$text-disabled")
    return Content(_until(task.next_execution_time, task, store, now))


def _until(moment: datetime, task: TaskView, store: Store, now: datetime) -> str:
    """Return when ``moment`` comes, in the time zone of a task; its own one is named."""
    return format_until(moment, now, zone_of(task.zone, store.zone), with_zone=bool(task.zone))


def _running(task: TaskView, now: datetime) -> list[str]:
    """Return the number of live runs, the duration of the oldest and its progress, the longest variant first."""
    count = f"{task.running} running" if task.running > 1 else "running"
    if task.running_since is None:
        return [*_progress(task, count), count]
    elapsed = format_elapsed((now - task.running_since).total_seconds())
    whole = f"{count}{', ' if task.running > 1 else ' '}{elapsed}"
    return [*_progress(task, whole), whole, count if task.running > 1 else elapsed]


def _progress(task: TaskView, running: str) -> list[str]:
    """Return variants of the progress that the run reports, the longest first; empty if it reports none."""
    progress = task.progress
    if progress is None:
        return []
    message = plain(progress.message)
    if progress.fraction is None:
        return [f"{running} {message}"] if message else []
    filled = round(progress.fraction * _BAR)
    bar = f"{'▓' * filled}{'░' * (_BAR - filled)} {progress.fraction:.0%}"
    texts = [f"{running} {bar} {message}", f"{running} {message} {progress.fraction:.0%}"] if message else []
    return [*texts, f"{running} {bar}", bar, f"{running} {progress.fraction:.0%}"]


def _kept_back(task: TaskView) -> list[Content]:
    """Return texts that say why a task is held or paused, longest first."""
    if task.held_since is not None:
        failures = "1 failure" if task.failures == 1 else f"{task.failures} failures"
        texts, state = [f"held after {failures}", f"held, {failures}", "held"], TaskState.HELD
    else:
        reason = plain(task.pause.reason) if task.pause else ""
        texts, state = [f"paused: {reason}" if reason else "paused"], TaskState.PAUSED
    return [Content.styled(text, COLOURS[state]) for text in texts]


def _waiting(task: TaskView, store: Store, now: datetime) -> list[Content]:
    """Return texts that say what a queued run waits for, longest first."""
    reason = plain(format_wait(task.waiting))
    texts = [f"waiting: {reason}" if reason else TaskState.QUEUED.label]
    if reason and task.waiting_until is not None and task.waiting_until > now:
        when = _until(task.waiting_until, task, store, now)
        texts = [f"waiting: {reason}, {when}", f"{reason} {when}", f"waiting {when}", *texts]
    return [Content.styled(text, COLOURS[TaskState.QUEUED]) for text in texts]


def _source(task: TaskView, store: Store) -> Content:
    if not task.source_changes:
        return Content("")
    colour = "$text-warning" if store.is_rebuild_offered(task) else "$text-disabled"
    return Content.styled(_CHANGED, colour)
