"""stop: the live run of a task, and a retry that waits."""

from __future__ import annotations

from keiji.errors import NotRunning
from keiji_engine.bus.protocol import Done, StopRun
from keiji_engine.handlers.context import Context


async def stop(desk: Context, request: StopRun) -> Done:
    """Stop what runs. Raises NotRunning, EngineOffline, ServiceOffline."""
    async with desk.holding(request.task) as task:
        desk.runs()
        if not await desk.stop_runs(task, f"stopped by {request.sender or 'a directive'}"):
            raise NotRunning(f"{task.name} is not running")
    return Done(id=request.id, lines=(f"stopped task {task.name}",))
