"""enable: run a task by its schedule again."""

from __future__ import annotations

import asyncio

from keiji_engine.bus.protocol import Done, Enable
from keiji_engine.event_runs import begin, current_files
from keiji_engine.handlers.context import Context
from keiji_engine.logs.service_log import log_task
from keiji_engine.scheduler.clock_changes import anchor_schedule
from keiji_engine.scheduler_service import log_schedule
from keiji_engine.storage.transactions import Transaction


async def enable(context: Context, request: Enable) -> Done:
    """Enable a task; its schedule counts from now. A task that is already enabled is left alone. Raises TaskBroken."""
    async with context.locked_task(request.task) as task:
        if not task.is_disabled:
            return Done(id=request.id, lines=(f"task {task.name} is already enabled",))
        context.check_readable(task)
        settings = context.settings()
        schedule, next_at = task.schedule, None
        if schedule is not None:
            schedule, next_at = anchor_schedule(schedule, task.policy, settings.time_zone, context.clock())
        files = await asyncio.to_thread(current_files, schedule) if schedule is not None else {}

        def switch_on(transaction: Transaction) -> None:
            begin(transaction, transaction.tasks.enable(task.slug, schedule, next_at), None, files)

        await context.state.apply(switch_on)
        log_task(task.slug, "task enabled")
        log_schedule(context.state.find(task.slug), settings)
        return Done(id=request.id, lines=(f"enabled task {task.name}",))
