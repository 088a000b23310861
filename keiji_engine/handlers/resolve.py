"""resolve: clear a task's error."""

from __future__ import annotations

from keiji_engine.bus.protocol import Done, Resolve
from keiji_engine.handlers.desk import Desk
from keiji_engine.storage.store import Store


async def resolve(desk: Desk, request: Resolve) -> Done:
    """Clear IsError and ErrorTxt; history keeps what happened."""
    async with desk.holding(request.task) as task:
        if not task.is_error:
            return Done(id=request.id, lines=(f"task {task.name} has no error",))
        cleared = task.error_text
        desk.board.put_task(await desk.ledger.do(Store.resolve, task.slug))
        return Done(id=request.id, lines=(f"resolved task {task.name}: {cleared}",))
