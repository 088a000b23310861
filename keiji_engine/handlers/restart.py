"""restart: stop the runs of a task, and count its schedule from now."""

from __future__ import annotations

from keiji.errors import NotBuilt
from keiji.reasons import Code, reason
from keiji.records import Task
from keiji.states import RunState
from keiji_engine.bus.protocol import Done, Restart
from keiji_engine.handlers.context import Context
from keiji_engine.logs.service_log import log_task
from keiji_engine.scheduler.clock_changes import anchor_schedule
from keiji_engine.scheduler_service import close_overdue, log_schedule


async def restart(context: Context, request: Restart) -> Done:
    """Restart a task. Raises NotBuilt, EngineOffline, ServiceOffline."""
    async with context.locked_task(request.task) as task:
        context.require_runs()
        await restart_schedule(context, task)
    lines = [f"restarting task {task.name}"]
    if task.is_disabled:
        lines.append("it is disabled, and does not run until it is enabled")
    return Done(id=request.id, lines=tuple(lines))


async def restart_schedule(context: Context, task: Task) -> None:
    """Stop the runs of a task, then count its schedule from now. Raises NotBuilt, TaskBroken."""
    context.check_readable(task)
    schedule = task.schedule
    if schedule is None:
        raise NotBuilt.named(task.name, task.slug)
    context.check_stoppable(task)
    await context.stop_runs(task, reason(Code.STOPPED, why="restart"))
    log_task(task.slug, "task terminated, exiting...")
    settings, now = context.settings(), context.clock()
    overdue = reason(Code.TASK_CHANGED, change="restart")
    task = await close_overdue(context.state, context.state.find(task.slug), RunState.MISSED, overdue, now)
    schedule, next_at = anchor_schedule(schedule, task.policy, settings.time_zone, now)
    await context.state.apply(lambda transaction: transaction.tasks.reschedule(task.slug, schedule, next_at))
    log_schedule(context.state.find(task.slug), settings)
