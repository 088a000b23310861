"""ping, get-snapshot, get-tasks, get-runs, read-log: what changes nothing."""

from __future__ import annotations

from keiji_engine.bus import protocol as p
from keiji_engine.handlers.desk import Desk
from keiji_engine.log_source import LogFiles
from keiji_engine.storage.store import Store

MOST_RUNS = 10_000


async def ping(desk: Desk, request: p.Ping) -> p.Pong:
    """Say that the engine lives."""
    return p.Pong(id=request.id, engine=desk.engine().engine_view())


async def get_snapshot(desk: Desk, request: p.GetSnapshot) -> p.Snapshot:
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


async def get_tasks(desk: Desk, request: p.GetTasks) -> p.Tasks:
    """Return one task or all. Raises TaskNotFound."""
    if request.task is None:
        return p.Tasks(id=request.id, tasks=desk.board.views())
    return p.Tasks(id=request.id, tasks=(desk.board.view(desk.board.find(request.task).slug),))


async def get_runs(desk: Desk, request: p.GetRuns) -> p.Runs:
    """Return the runs of a task, newest first. Raises TaskNotFound."""
    task = desk.board.find(request.task)
    limit = min(max(request.limit, 0), MOST_RUNS)
    return p.Runs(id=request.id, runs=tuple(await desk.ledger.do(Store.runs, task.slug, limit)))


async def read_log(desk: Desk, request: p.ReadLog) -> p.LogSlice:
    """Return a part of a task's log. Raises TaskNotFound."""
    task = desk.board.find(request.task)
    logs = LogFiles(desk.paths)
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
