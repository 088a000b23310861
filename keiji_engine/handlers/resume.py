"""resume, resume-system: let what was paused go on. What was due meanwhile is not caught up with."""

from __future__ import annotations

from keiji.records import Pause, Task
from keiji.states import RunState
from keiji_engine.bus.protocol import Done, ResumeSystem, ResumeTask
from keiji_engine.handlers.context import Context
from keiji_engine.scheduler.reasons import paused
from keiji_engine.storage.store import Store


async def resume_task(desk: Context, request: ResumeTask) -> Done:
    """Let a task go on. One that is not paused is left alone."""
    async with desk.holding(request.task) as task:
        if task.pause is None:
            lines = [f"task {task.name} is not paused"]
        else:
            await _settle(desk, task, task.pause)
            changed = await desk.ledger.do(Store.pause_task, task.slug, None)
            desk.board.put_task(changed)
            desk.journal.task(task.slug, "task resumed")
            desk.tell_schedule(changed)
            lines = [f"resumed task {task.name}"]
        if desk.board.pause is not None:
            lines.append("everything is paused, so it does not run yet: keiji system resume")
    desk.nudge()
    return Done(id=request.id, lines=tuple(lines))


async def resume_system(desk: Context, request: ResumeSystem) -> Done:
    """Let everything go on but for tasks that are paused themselves."""
    async with desk.alone(""):
        pause = desk.board.pause
        if pause is None:
            return Done(id=request.id, lines=("the system is not paused",))
        for slug in desk.board.due(desk.clock()):
            async with desk.alone(slug):
                task = desk.board.task(slug)
                if task is not None:
                    await _settle(desk, task, pause, " with everything")
        await desk.ledger.do(Store.set_pause, None)
        desk.put_pause(None)
        desk.journal.service("scheduler", "everything goes on")
    desk.nudge()
    still = sorted(task.name for task in desk.board.tasks() if task.pause is not None)
    lines = ["resumed everything"]
    if still:
        lines.append(f"still paused by themselves: {', '.join(still)}")
    return Done(id=request.id, lines=tuple(lines))


async def _settle(desk: Context, task: Task, pause: Pause, whole: str = "") -> None:
    await desk.settle_overdue(task, RunState.SKIPPED, paused(pause, desk.settings().zone, whole), desk.clock())
