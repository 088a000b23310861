"""run: start a task now, independently of its schedule."""

from __future__ import annotations

from keiji.reasons import render
from keiji_engine.bus.protocol import Done, RunTask
from keiji_engine.handlers.context import Context


async def run(context: Context, request: RunTask) -> Done:
    """Start a run. Raises NotBuilt, TaskBroken, AlreadyRunning, EngineOffline, ServiceOffline."""
    async with context.locked_task(request.task) as task:
        context.check_readable(task)
        started = await context.require_runs().request(task)
    if started.is_live:
        lines = [f"running task {task.name} (run {started.run_id})"]
    else:
        lines = [f"task {task.name}: {render(started.reason, context.zone(task))} (run {started.run_id})"]
    if task.is_disabled:
        lines.append("it is disabled: this is the only run until it is enabled")
    elif task.pause is not None or context.state.pause is not None:
        lines.append("it is paused: this is the only run until it is resumed")
    elif task.held_at is not None:
        lines.append("it is held: this is the only run until it is resolved")
    return Done(id=request.id, lines=tuple(lines))
