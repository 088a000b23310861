"""restart: stop what runs of a task, and count its schedule anew from now."""

from __future__ import annotations

from keiji.errors import NotBuilt
from keiji.records import Task
from keiji.states import RunState
from keiji_engine.bus.protocol import Done, Restart
from keiji_engine.handlers.context import Context
from keiji_engine.storage.store import Store


async def restart(desk: Context, request: Restart) -> Done:
    """Restart a task. Raises NotBuilt, EngineOffline, ServiceOffline."""
    async with desk.holding(request.task) as task:
        desk.runs()
        await begin_anew(desk, task)
    lines = [f"restarting task {task.name}"]
    if task.is_disabled:
        lines.append("it is disabled, and stays so until it is enabled")
    return Done(id=request.id, lines=tuple(lines))


async def begin_anew(desk: Context, task: Task) -> None:
    """Stop the runs of a task, then anchor its schedule at this moment. Raises NotBuilt."""
    schedule = task.schedule
    if schedule is None:
        raise NotBuilt(f"{task.name} has no build yet", hint=f"keiji task build {task.slug}")
    desk.check_stoppable(task)
    await desk.stop_runs(task, "task restarted")
    desk.journal.task(task.slug, "task terminated, exiting...")
    now = desk.clock()
    task = await desk.settle_overdue(task, RunState.MISSED, "the task was restarted before it could run", now)
    schedule, next_at = desk.anchor(schedule, task.policy, now)
    task = await desk.ledger.do(Store.reschedule, task.slug, schedule, next_at)
    desk.board.put_task(task)
    desk.tell_schedule(task)
    desk.nudge()
