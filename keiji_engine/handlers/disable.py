"""disable: stop the runs of a task, and take it off its schedule."""

from __future__ import annotations

from keiji.errors import EngineOffline, ServiceOffline
from keiji.reasons import Code, reason
from keiji.states import RunState
from keiji_engine.bus.protocol import Disable, Done
from keiji_engine.event_runs import forget
from keiji_engine.handlers.context import Context
from keiji_engine.logs.service_log import log_task
from keiji_engine.scheduler_service import close_overdue


async def disable(context: Context, request: Disable) -> Done:
    """Disable a task. Its live and queued runs are stopped, even if it was disabled already."""
    async with context.locked_task(request.task) as task:
        if task.is_disabled and not context.state.open_runs(task.slug):
            return Done(id=request.id, lines=(f"task {task.name} is already disabled",))
        overdue = reason(Code.TASK_CHANGED, change="disable")
        await close_overdue(context.state, task, RunState.MISSED, overdue, context.clock())
        await context.state.apply(
            lambda transaction: transaction.tasks.disable(task.slug), lambda transaction: forget(transaction, task)
        )
        lines = [f"disabled task {task.name}"]
        try:
            if await context.stop_runs(task, reason(Code.STOPPED, why="disable")):
                lines.append("its run was stopped")
        except (EngineOffline, ServiceOffline) as error:
            lines.append(f"it will not run again, but its live run continues until it ends: {error.message}")
        log_task(task.slug, "task disabled, exiting...")
        return Done(id=request.id, lines=tuple(lines))
