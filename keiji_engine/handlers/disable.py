"""disable: stop what runs of a task, and let it run no more."""

from __future__ import annotations

from keiji.errors import EngineOffline, ServiceOffline
from keiji.states import RunState
from keiji_engine.bus.protocol import Disable, Done
from keiji_engine.handlers.context import Context
from keiji_engine.storage.store import Store


async def disable(desk: Context, request: Disable) -> Done:
    """Disable a task; what runs or waits of it is stopped, also where it was disabled already."""
    async with desk.holding(request.task) as task:
        if task.is_disabled and not desk.board.open_runs(task.slug):
            return Done(id=request.id, lines=(f"task {task.name} is disabled already",))
        reason = "the task was disabled before it could run"
        await desk.settle_overdue(task, RunState.MISSED, reason, desk.clock())
        changed = await desk.ledger.do(Store.set_enabled, task.slug, False, task.schedule, None)
        desk.board.put_task(changed)
        lines = [f"disabled task {task.name}"]
        try:
            if await desk.stop_runs(task, "task disabled"):
                lines.append("its run was stopped")
        except (EngineOffline, ServiceOffline) as error:
            lines.append(f"it will not run again, but what runs goes on until it ends by itself: {error.message}")
        desk.journal.task(task.slug, "task disabled, exiting...")
        return Done(id=request.id, lines=tuple(lines))
