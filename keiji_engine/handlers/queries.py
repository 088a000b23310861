"""ping, get-snapshot, get-tasks, get-runs, get-upcoming, explain, read-log: what changes nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC
from itertools import islice

import msgspec

from keiji.errors import BuildFailed, NotBuilt
from keiji.records import Build, Task
from keiji.schedule import Occurrence
from keiji_engine import builds
from keiji_engine.bus import protocol as p
from keiji_engine.bus.reasons import reasons
from keiji_engine.bus.views import Upcoming
from keiji_engine.handlers.context import Context
from keiji_engine.logs.tailing import TaskLogs
from keiji_engine.storage.store import Store

MOST_RUNS = 10_000
MOST_INSTANTS = 1000


async def ping(desk: Context, request: p.Ping) -> p.Pong:
    """Say that the engine lives."""
    return p.Pong(id=request.id, engine=desk.engine().engine_view())


async def get_snapshot(desk: Context, request: p.GetSnapshot) -> p.Snapshot:
    """Return everything as of this moment; nothing is awaited in between, so it is of one piece."""
    engine = desk.engine()
    boot, seq = engine.position()
    return p.Snapshot(
        id=request.id,
        boot=boot,
        seq=seq,
        engine=engine.engine_view(),
        services=engine.service_views(),
        tasks=desk.board.views(),
    )


async def get_tasks(desk: Context, request: p.GetTasks) -> p.Tasks:
    """Return one task or all. Raises TaskNotFound."""
    if request.task is None:
        return p.Tasks(id=request.id, tasks=desk.board.views(), pause=desk.board.pause)
    found = desk.board.view(desk.board.find(request.task).slug)
    return p.Tasks(id=request.id, tasks=(found,), pause=desk.board.pause)


async def get_runs(desk: Context, request: p.GetRuns) -> p.Runs:
    """Return the runs of a task, newest first. Raises TaskNotFound."""
    task = desk.board.find(request.task)
    limit = min(max(request.limit, 0), MOST_RUNS)
    return p.Runs(id=request.id, runs=tuple(await desk.ledger.do(Store.runs, task.slug, limit)))


async def get_upcoming(desk: Context, request: p.GetUpcoming) -> p.UpcomingInstants:
    """Return when a task is due, from the schedule that the scheduler goes by. Raises TaskNotFound, NotBuilt."""
    task = desk.board.find(request.task)
    if task.schedule is None:
        raise NotBuilt(f"{task.name} has no build yet", hint=f"keiji task build {task.slug}")
    after = (request.after or desk.clock()).astimezone(UTC)
    known = await desk.ledger.do(Store.rows_ahead, task.slug, after)  # after the clock was set back
    instants = (due for due in task.schedule.preview(after) if due.is_skipped or due.at not in known)
    return p.UpcomingInstants(
        id=request.id,
        task=task.slug,
        zone=task.policy.tz or desk.settings().time_zone,
        instants=tuple(_upcoming(task, due) for due in islice(instants, min(max(request.count, 0), MOST_INSTANTS))),
        unless=_kept_back(desk, task),
    )


def _kept_back(desk: Context, task: Task) -> str:
    """Return why none of a task's instants will run, as things are; "" where they will."""
    if task.is_disabled:
        return "it is disabled"
    if task.held_at is not None:
        return "it is held"
    if task.pause is not None:
        return "it is paused"
    return "everything is paused" if desk.board.pause is not None else ""


def _upcoming(task: Task, due: Occurrence) -> Upcoming:
    starts_at = task.start_of(due.at)
    late = (starts_at - due.at).total_seconds()
    notes = [due.note, f"starts {late:g} s later (jitter)" if late and not due.is_skipped else ""]
    return Upcoming(at=due.at, starts_at=starts_at, note=", ".join(filter(None, notes)), is_skipped=due.is_skipped)


async def explain(desk: Context, request: p.Explain) -> p.Explained:
    """Say why a task does not run now. Raises TaskNotFound."""
    view = desk.board.view(desk.board.find(request.task).slug)
    control = desk.control
    if control is None and not view.source_changes:
        # No watcher has compared its sources with its build.
        build = desk.board.build(view.slug)
        differing = await asyncio.to_thread(_differing, desk, view.slug, build) if build else ()
        view = msgspec.structs.replace(view, source_changes=differing)
    found = reasons(
        view,
        control.engine_view() if control else None,
        control.service_views() if control else (),
        desk.board.pause,
        desk.settings().zone,
        now=desk.clock(),
    )
    return p.Explained(id=request.id, task=view.slug, reasons=found)


def _differing(desk: Context, slug: str, build: Build) -> tuple[str, ...]:
    try:
        return builds.changed_paths(build.files, builds.hash_sources(desk.paths.source(slug)))
    except BuildFailed:
        return ()  # its sources are gone, which a build says when it is asked for


async def read_log(desk: Context, request: p.ReadLog) -> p.LogSlice:
    """Return a part of a task's log. Raises TaskNotFound."""
    task = desk.board.find(request.task)
    logs = TaskLogs(desk.paths)
    limit = min(max(request.limit, 1), p.LARGEST_LOG_SLICE)
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
