"""pause, pause-system: start nothing that is due. What runs goes on; what is due meanwhile is skipped, and says why."""

from __future__ import annotations

from keiji import names
from keiji.records import Pause
from keiji.states import RunState
from keiji_engine.bus.protocol import Done, PauseSystem, PauseTask
from keiji_engine.handlers.context import Context
from keiji_engine.storage.store import Store

_BEFORE = "it was paused before it could run"


async def pause_task(desk: Context, request: PauseTask) -> Done:
    """Pause a task; one that is paused keeps the moment, and gets the new reason."""
    async with desk.holding(request.task) as task:
        if task.pause is None and desk.board.pause is None:
            await desk.settle_overdue(task, RunState.MISSED, _BEFORE, desk.clock())
        pause = _pause(desk, task.pause, request)
        desk.board.put_task(await desk.ledger.do(Store.pause_task, task.slug, pause))
        desk.journal.task(task.slug, f"task paused{_because(pause)}")
        lines = [f"paused task {task.name}{_because(pause)}"]
        if desk.board.live_run(task.slug) is not None:
            lines.append("what runs of it goes on")
    return Done(id=request.id, lines=tuple(lines))


async def pause_system(desk: Context, request: PauseSystem) -> Done:
    """Pause everything."""
    async with desk.alone(""):
        if desk.board.pause is None and desk.control is None:
            # No engine has looked at what was due before; one that runs is about to.
            for slug in desk.board.due(desk.clock()):
                task = desk.board.task(slug)
                if task is not None and task.pause is None:
                    await desk.settle_overdue(task, RunState.MISSED, _BEFORE, desk.clock())
        pause = _pause(desk, desk.board.pause, request)
        await desk.ledger.do(Store.set_pause, pause)
        desk.put_pause(pause)
        desk.journal.service("scheduler", f"everything is paused{_because(pause)}", "WARN")
    live = sum(run.is_live for run in desk.board.open_runs())
    lines = [f"paused everything{_because(pause)}"]
    if live:
        lines.append(f"{live} live run{' goes' if live == 1 else 's go'} on")
    return Done(id=request.id, lines=tuple(lines))


def _pause(desk: Context, before: Pause | None, request: PauseTask | PauseSystem) -> Pause:
    since = before.since if before is not None else desk.clock()
    return Pause(since=since, reason=names.one_line(request.reason), by=names.one_line(request.sender))


def _because(pause: Pause) -> str:
    return f": {pause.reason}" if pause.reason else ""
