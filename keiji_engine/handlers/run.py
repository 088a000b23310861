"""run: a task, now, whatever its schedule says."""

from __future__ import annotations

from keiji.errors import AlreadyRunning
from keiji_engine.bus.protocol import Done, RunTask
from keiji_engine.handlers.desk import Desk


async def run(desk: Desk, request: RunTask) -> Done:
    """Start a run. Raises NotBuilt, AlreadyRunning, EngineOffline, ServiceOffline."""
    task = desk.board.find(request.task)
    runs = desk.runs()
    live = desk.board.live_run(task.slug)
    if live is not None:
        raise AlreadyRunning(f"{task.name} is running already (run {live.run_id})", hint=f"keiji task stop {task.slug}")
    started = await runs.request(task)
    lines = [f"running task {task.name} (run {started.run_id})"]
    if task.is_disabled:
        lines.append("it is disabled, so this is the only run until it is enabled")
    return Done(id=request.id, lines=tuple(lines))
