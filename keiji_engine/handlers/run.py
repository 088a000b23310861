"""run: a task, now, whatever its schedule says."""

from __future__ import annotations

from keiji_engine.bus.protocol import Done, RunTask
from keiji_engine.handlers.context import Context


async def run(desk: Context, request: RunTask) -> Done:
    """Start a run. Raises NotBuilt, AlreadyRunning, EngineOffline, ServiceOffline."""
    async with desk.holding(request.task) as task:
        started = await desk.runs().request(task)
    if started.is_live:
        lines = [f"running task {task.name} (run {started.run_id})"]
    else:
        lines = [f"task {task.name} {started.reason} (run {started.run_id})"]
    if task.is_disabled:
        lines.append("it is disabled, so this is the only run until it is enabled")
    elif task.pause is not None or desk.board.pause is not None:
        lines.append("it is paused, so this is the only run until it is resumed")
    elif task.held_at is not None:
        lines.append("it is held, so this is the only run until it is resolved")
    return Done(id=request.id, lines=tuple(lines))
