"""stop: stop the live and queued runs of a task."""

from __future__ import annotations

from keiji.errors import NotRunning
from keiji.reasons import Code, reason
from keiji_engine.bus.protocol import Done, StopRun
from keiji_engine.handlers.context import Context


async def stop(context: Context, request: StopRun) -> Done:
    """Stop the runs of a task. Raises NotRunning, EngineOffline, ServiceOffline."""
    async with context.locked_task(request.task) as task:
        context.require_runs()
        if not await context.stop_runs(task, reason(Code.STOPPED, by=request.sender or "a directive")):
            raise NotRunning.named(task.name, task.slug)
    lines = [f"stopped task {task.name}"]
    lines += [
        f"its backfill continues; keiji task backfill --stop {backfill.id} stops it"
        for backfill in context.state.backfills(task.slug)
    ]
    return Done(id=request.id, lines=tuple(lines))
