"""resolve: clear a task's error."""

from __future__ import annotations

from keiji.states import RunState
from keiji_engine.bus.protocol import Done, Resolve
from keiji_engine.handlers.context import Context
from keiji_engine.scheduler.reasons import held
from keiji_engine.storage.store import Store


async def resolve(desk: Context, request: Resolve) -> Done:
    """Clear IsError and ErrorTxt, and end a hold; history keeps what happened."""
    async with desk.holding(request.task) as task:
        if not task.is_error and task.held_at is None:
            return Done(id=request.id, lines=(f"task {task.name} has no error",))
        lines = [f"resolved task {task.name}: {task.error_text}"]
        if task.held_at is not None:
            # What was due until now stays undone, or a task that fails would begin with what it failed at.
            await desk.settle_overdue(task, RunState.SKIPPED, held(task, desk.settings().zone), desk.clock())
            lines.append("it was held, and runs again by its schedule")
        changed = await desk.ledger.do(Store.resolve, task.slug)
        desk.board.put_task(changed)
        desk.tell_schedule(changed)
        desk.nudge()
        return Done(id=request.id, lines=tuple(lines))
