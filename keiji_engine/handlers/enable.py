"""enable: let a task run by its schedule again."""

from __future__ import annotations

from keiji_engine.bus.protocol import Done, Enable
from keiji_engine.handlers.context import Context
from keiji_engine.storage.store import Store


async def enable(desk: Context, request: Enable) -> Done:
    """Enable a task; its schedule counts from now. One that is enabled already is left alone."""
    async with desk.holding(request.task) as task:
        if not task.is_disabled:
            return Done(id=request.id, lines=(f"task {task.name} is enabled already",))
        schedule, next_at = desk.anchor(task.schedule, task.policy, desk.clock()) if task.schedule else (None, None)
        changed = await desk.ledger.do(Store.set_enabled, task.slug, True, schedule, next_at)
        desk.board.put_task(changed)
        desk.journal.task(task.slug, "task enabled")
        desk.tell_schedule(changed)
        desk.nudge()
        return Done(id=request.id, lines=(f"enabled task {task.name}",))
