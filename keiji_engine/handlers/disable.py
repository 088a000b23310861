"""disable: stop what runs of a task, and let it run no more."""

from __future__ import annotations

from keiji_engine.bus.protocol import Disable, Done
from keiji_engine.handlers.desk import Desk
from keiji_engine.storage.store import Store


async def disable(desk: Desk, request: Disable) -> Done:
    """Disable a task; its live run is stopped. One that is disabled already is left alone."""
    task = desk.board.find(request.task)
    if task.is_disabled:
        return Done(id=request.id, lines=(f"task {task.name} is disabled already",))
    task = await desk.ledger.do(Store.set_enabled, task.slug, False, task.schedule, None)
    desk.board.put_task(task)
    lines = [f"disabled task {task.name}"]
    if desk.control is None and desk.board.live_run(task.slug):
        lines.append("a run from before the engine ended may still be going on; it is left to end by itself")
    elif await desk.stop_runs(task, "task disabled"):
        lines.append("its run was stopped")
    desk.journal.task(task.slug, "task disabled, exiting...")
    return Done(id=request.id, lines=tuple(lines))
