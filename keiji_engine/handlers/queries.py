"""Queries: ping, get-snapshot, get-tasks, get-runs, get-upcoming, explain, read-log."""

from __future__ import annotations

import asyncio
from datetime import UTC
from itertools import islice

import msgspec

from keiji.errors import BuildFailed, NotBuilt
from keiji.reasons import Code, Reason, reason
from keiji.records import Build, Task
from keiji_engine import builds
from keiji_engine.bus import protocol as p
from keiji_engine.bus.explain import explain as explain_view
from keiji_engine.handlers.backfill import running_backfills
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.obstacles import find_obstacles
from keiji_engine.handlers.timeline import due_instant
from keiji_engine.logs.tailing import TaskLogs
from keiji_engine.scheduler.reasons import held, paused

MAX_RUNS = 10_000
MAX_INSTANTS = 1000


async def ping(context: Context, request: p.Ping) -> p.Pong:
    """Confirm that the engine is alive."""
    engine = context.require_engine()
    return p.Pong(id=request.id, engine=engine.engine_view(), services=engine.service_views())


async def get_snapshot(context: Context, request: p.GetSnapshot) -> p.Snapshot:
    """Return everything as of this moment. Nothing is awaited in between, so that it is consistent."""
    engine = context.require_engine()
    boot, seq = engine.position()
    return p.Snapshot(
        id=request.id,
        boot=boot,
        seq=seq,
        engine=engine.engine_view(),
        services=engine.service_views(),
        tasks=context.state.views(),
    )


async def get_tasks(context: Context, request: p.GetTasks) -> p.Tasks:
    """Return one task or all. Raises TaskNotFound."""
    if request.task is None:
        return p.Tasks(id=request.id, tasks=context.state.views(), pause=context.state.pause)
    found = context.state.view(context.state.find(request.task).slug)
    return p.Tasks(id=request.id, tasks=(found,), pause=context.state.pause)


async def get_runs(context: Context, request: p.GetRuns) -> p.Runs:
    """Return the runs of a task, newest first. Raises TaskNotFound."""
    task = context.state.find(request.task)
    limit = min(max(request.limit, 0), MAX_RUNS)
    return p.Runs(
        id=request.id,
        runs=tuple(await context.state.read(lambda transaction: transaction.runs.latest(task.slug, limit))),
        zone=task.policy.tz or "",
    )


async def get_upcoming(context: Context, request: p.GetUpcoming) -> p.Upcoming:
    """Return when a task is due, by the schedule that the scheduler uses. Raises TaskNotFound, NotBuilt, TaskBroken."""
    task = context.state.find(request.task)
    context.check_readable(task)
    if task.schedule is None:
        raise NotBuilt.named(task.name, task.slug)
    after = (request.after or context.clock()).astimezone(UTC)
    known = await context.state.read(
        lambda transaction: transaction.runs.instants_after(task.slug, after)  # there are some after a set-back
    )
    instants = (due for due in task.schedule.preview(after) if due.is_skipped or due.at not in known)
    return p.Upcoming(
        id=request.id,
        task=task.slug,
        zone=task.policy.tz or context.settings().time_zone,
        instants=tuple(due_instant(task, due) for due in islice(instants, min(max(request.count, 0), MAX_INSTANTS))),
        blocked_reason=_held_back(context, task),
        events=tuple(event.describe() for event in task.schedule.events),
    )


def _held_back(context: Context, task: Task) -> Reason | None:
    """Return why a task does not run by its schedule; None if it does."""
    if task.is_disabled:
        return reason(Code.DISABLED)
    if task.held_at is not None:
        return held(task)
    pause = task.pause or context.state.pause
    return paused(pause, is_global=task.pause is None) if pause is not None else None


async def explain(context: Context, request: p.Explain) -> p.Explained:
    """Return why a task does not run now. Raises TaskNotFound."""
    task = context.state.find(request.task)
    build = context.state.build(task.slug)
    obstacles = await asyncio.to_thread(find_obstacles, task, build, context.paths)
    view, control = context.state.view(task.slug), context.control
    if control is None and not view.source_changes:
        # Without an engine, no watcher compares its sources with its build.
        changed = await asyncio.to_thread(_changed_sources, context, view.slug, build) if build else ()
        view = msgspec.structs.replace(view, source_changes=changed)
    found = explain_view(
        view,
        control.engine_view() if control else None,
        control.service_views() if control else (),
        context.state.pause,
        now=context.clock(),
        obstacles=obstacles,
    )
    reasons = (*found, *running_backfills(context, view.slug))
    return p.Explained(id=request.id, task=view.slug, reasons=reasons, zone=view.zone)


def _changed_sources(context: Context, slug: str, build: Build) -> tuple[str, ...]:
    try:
        return builds.changed_paths(build.files, builds.hash_sources(context.paths.source(slug)))
    except BuildFailed:
        return ()  # the sources are missing, which the next build reports


async def read_log(context: Context, request: p.ReadLog) -> p.LogSlice:
    """Return a part of a task's log. Raises TaskNotFound."""
    task = context.state.find(request.task)
    return await asyncio.to_thread(_read_log, TaskLogs(context.paths), task, request)


def _read_log(logs: TaskLogs, task: Task, request: p.ReadLog) -> p.LogSlice:
    limit = min(max(request.limit, 1), p.MAX_LOG_SLICE_BYTES)
    if request.position is None:
        position, end, text = logs.tail(task.slug, request.lines, limit)
    else:
        position, end, text = logs.read(task.slug, request.position, limit)
    return p.LogSlice(
        id=request.id,
        task=task.slug,
        position=position,
        end=end,
        size=logs.size(task.slug),
        text=text,
    )
