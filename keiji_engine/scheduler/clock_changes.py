"""Schedules are placed anew: when the zone of the workspace changes, and when the clock is set back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from keiji.schedule import Interval, Schedule
from keiji_engine.handlers.context import Context
from keiji_engine.scheduler.backlog import MOST_AT_ONCE
from keiji_engine.storage.store import Recount, SetBack, Store

_TOGETHER = 200  # tasks that are moved in one transaction, so that nobody waits for long


async def move_to_zone(desk: Context) -> None:
    """Bring schedules into the zone of the settings, where they were placed in another one."""
    for slug in [task.slug for task in desk.board.tasks()]:
        async with desk.alone(slug):
            task = desk.board.task(slug)
            if task is None or task.schedule is None:
                continue
            schedule, next_at = desk.moved(task, task.policy)
            if schedule != task.schedule:
                desk.board.put_task(await desk.ledger.do(Store.reschedule, slug, schedule, next_at))
                desk.tell_schedule(desk.board.find(slug))
    desk.nudge()


async def apply_set_back(desk: Context, seen: datetime) -> None:
    """Let everything go on from now, after the clock was set back from ``seen``.

    What ran does not run again: its instant has a row. What lies ahead again and did not run is due again; what waits
    for a moment waits no longer than it would have. Intervals count anew from now, for they measure elapsed time.

    No task is held meanwhile: a directive that comes first has placed its task by the clock as it is, and wins.
    """
    moves = list(_moves(desk))
    for first in range(0, len(moves), _TOGETHER):
        for task in await desk.ledger.do(Store.apply_set_back, desk.clock(), moves[first : first + _TOGETHER]):
            desk.board.put_task(task)
            if not task.is_disabled:
                desk.journal.task(task.slug, "the clock was set back", "WARN")
                desk.tell_schedule(task)
    desk.board.put_runs(await desk.ledger.do(Store.hasten_queued, desk.clock(), seen))
    desk.nudge()


async def look_at_clock(desk: Context) -> None:
    """Turn back where the clock shows less than what was recorded before this start."""
    newest = await desk.ledger.do(Store.newest_moment)
    if desk.clock() < newest:
        desk.journal.service("scheduler", f"the clock was set back: something was recorded at {newest}", "WARN")
        await apply_set_back(desk, newest)


def _moves(desk: Context) -> Iterator[SetBack]:
    now = desk.clock()
    for task in desk.board.tasks():
        if task.schedule is None:
            continue
        schedule, following = task.schedule, task.schedule.next_after(now)
        if task.is_disabled:
            following = None  # but rows ahead of now would keep it from running once it is enabled
        elif following is None or (task.next_at is not None and task.next_at <= following):
            continue
        elif isinstance(schedule, Interval):
            schedule, following = desk.anchor(schedule, task.policy, now)
        yield SetBack(task.slug, task.next_at, schedule, following, _recount(task.schedule, now))


def _recount(schedule: Schedule, now: datetime) -> Recount:
    def recount(first: datetime) -> tuple[int, datetime]:
        found = schedule.range_until(first, now, keep_latest=1, max_count=MOST_AT_ONCE)
        return found.earlier_count + 1, found.latest[-1]

    return recount
