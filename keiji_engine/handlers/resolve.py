"""resolve: clear a task's error and end a hold."""

from __future__ import annotations

from keiji.reasons import render
from keiji.states import RunState
from keiji_engine.bus.protocol import Done, Resolve
from keiji_engine.handlers.context import Context
from keiji_engine.scheduler.reasons import held
from keiji_engine.scheduler_service import close_overdue, log_schedule


async def resolve(context: Context, request: Resolve) -> Done:
    """Clear the error of a task and end a hold; the history keeps what happened."""
    async with context.locked_task(request.task) as task:
        if not task.is_error and task.held_at is None:
            return Done(id=request.id, lines=(f"task {task.name} has no error",))
        settings = context.settings()
        lines = [": ".join(filter(None, (f"resolved task {task.name}", render(task.error, context.zone(task)))))]
        if task.held_at is not None:
            # Overdue instants are skipped: otherwise the task would run at once.
            await close_overdue(context.state, task, RunState.SKIPPED, held(task), context.clock())
            lines.append("the hold is over: it runs by its schedule again")
        await context.state.apply(lambda transaction: transaction.tasks.resolve(task.slug))
        log_schedule(context.state.find(task.slug), settings)
        return Done(id=request.id, lines=tuple(lines))
