"""pause, pause-system: occurrences that are due during a pause are skipped. Live runs continue."""

from __future__ import annotations

import logging

from keiji import names
from keiji.reasons import Code, reason
from keiji.records import Pause
from keiji.states import RunState
from keiji_engine.bus.protocol import Done, PauseSystem, PauseTask
from keiji_engine.handlers.context import Context
from keiji_engine.logs.service_log import log_task
from keiji_engine.scheduler_service import close_overdue

_log = logging.getLogger("keiji.scheduler")

_OVERDUE = reason(Code.TASK_CHANGED, change="pause")


async def pause_task(context: Context, request: PauseTask) -> Done:
    """Pause a task. One that is already paused gets the reason if there is one, and keeps the time of its pause."""
    async with context.locked_task(request.task) as task:
        if _is_repeated(task.pause, request):
            return Done(id=request.id, lines=(f"task {task.name} is already paused",))
        if task.pause is None and context.state.pause is None:
            await close_overdue(context.state, task, RunState.MISSED, _OVERDUE, context.clock())
        pause = _pause(context, task.pause, request)
        await context.state.apply(lambda transaction: transaction.tasks.set_pause(task.slug, pause))
        log_task(task.slug, f"task paused{_note(pause)}")
        lines = [f"paused task {task.name}{_note(pause)}"]
        if context.state.live_run(task.slug) is not None:
            lines.append("its live run continues")
    return Done(id=request.id, lines=tuple(lines))


async def pause_system(context: Context, request: PauseSystem) -> Done:
    """Pause the whole system. If it is already paused, only the reason is changed, if there is one."""
    async with context.lock(""):
        if _is_repeated(context.state.pause, request):
            return Done(id=request.id, lines=("everything is already paused",))
        if context.state.pause is None and context.control is None:
            # A running engine decides about overdue occurrences itself.
            for slug in context.state.due(context.clock()):
                task = context.state.task(slug)
                if task is not None and task.pause is None:
                    await close_overdue(context.state, task, RunState.MISSED, _OVERDUE, context.clock())
        pause = _pause(context, context.state.pause, request)
        await context.state.apply(lambda transaction: transaction.system.set_pause(pause))
        _log.warning("everything is paused%s", _note(pause))
    live = sum(run.is_live for run in context.state.open_runs())
    lines = [f"paused everything{_note(pause)}"]
    if live:
        lines.append(f"{live} live run{' continues' if live == 1 else 's continue'}")
    return Done(id=request.id, lines=tuple(lines))


def _is_repeated(current: Pause | None, request: PauseTask | PauseSystem) -> bool:
    return current is not None and names.one_line(request.reason) in ("", current.reason)


def _pause(context: Context, current: Pause | None, request: PauseTask | PauseSystem) -> Pause:
    since = current.since if current is not None else context.clock()
    return Pause(since=since, reason=names.one_line(request.reason), by=names.one_line(request.sender))


def _note(pause: Pause) -> str:
    return f": {pause.reason}" if pause.reason else ""
