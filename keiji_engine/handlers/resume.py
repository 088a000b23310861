"""resume, resume-system: end a pause. Occurrences that were due during the pause are not caught up."""

from __future__ import annotations

import logging

from keiji.records import Pause, Task
from keiji.states import RunState
from keiji_engine.bus.protocol import Done, ResumeSystem, ResumeTask
from keiji_engine.handlers.context import Context
from keiji_engine.logs.service_log import log_task
from keiji_engine.scheduler.reasons import paused
from keiji_engine.scheduler_service import close_overdue, log_schedule

_log = logging.getLogger("keiji.scheduler")


async def resume_task(context: Context, request: ResumeTask) -> Done:
    """Resume a task. A task that is not paused is left alone."""
    async with context.locked_task(request.task) as task:
        if task.pause is None:
            lines = [f"task {task.name} is not paused"]
        else:
            await _skip_overdue(context, task, task.pause, is_global=False)
            await context.state.apply(lambda transaction: transaction.tasks.set_pause(task.slug, None))
            log_task(task.slug, "task resumed")
            log_schedule(context.state.find(task.slug), context.settings())
            lines = [f"resumed task {task.name}"]
        if context.state.pause is not None:
            lines.append("everything is paused, so it does not run yet: keiji system resume")
    return Done(id=request.id, lines=tuple(lines))


async def resume_system(context: Context, request: ResumeSystem) -> Done:
    """Resume everything except tasks paused individually."""
    async with context.lock(""):
        pause = context.state.pause
        if pause is None:
            return Done(id=request.id, lines=("the system is not paused",))
        for slug in context.state.due(context.clock()):
            async with context.lock(slug):
                task = context.state.task(slug)
                if task is not None:
                    await _skip_overdue(context, task, pause, is_global=True)
        await context.state.apply(lambda transaction: transaction.system.set_pause(None))
        _log.info("everything is resumed")
    still_paused = sorted(task.name for task in context.state.tasks() if task.pause is not None)
    lines = ["resumed everything"]
    if still_paused:
        lines.append(f"still paused individually: {', '.join(still_paused)}")
    return Done(id=request.id, lines=tuple(lines))


async def _skip_overdue(context: Context, task: Task, pause: Pause, *, is_global: bool) -> None:
    why = paused(pause, is_global=is_global)
    await close_overdue(context.state, task, RunState.SKIPPED, why, context.clock())
