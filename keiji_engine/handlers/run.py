"""run: a task, now, whatever its schedule says."""

from __future__ import annotations

from keiji_engine.bus.protocol import Done, RunTask
from keiji_engine.handlers.desk import Desk


async def run(desk: Desk, request: RunTask) -> Done:
    """Start a run. Raises NotBuilt, AlreadyRunning, EngineOffline, ServiceOffline."""
    async with desk.holding(request.task) as task:
        started = await desk.runs().request(task)
    lines = [f"running task {task.name} (run {started.run_id})"]
    if task.is_disabled:
        lines.append("it is disabled, so this is the only run until it is enabled")
    return Done(id=request.id, lines=tuple(lines))
