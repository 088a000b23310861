"""Schedules are placed anew: when the zone of the workspace changes, and when the clock is set back."""

from __future__ import annotations

from datetime import datetime

from keiji.schedule import Interval, Schedule
from keiji_engine.handlers.desk import Desk
from keiji_engine.scheduler.occurrences import MOST_AT_ONCE
from keiji_engine.storage.store import Recount, Store


async def move_to_zone(desk: Desk) -> None:
    """Bring schedules into the zone of the settings, where they were placed in another one."""
    for slug in [task.slug for task in desk.board.tasks()]:
        async with desk.alone(slug):
            task = desk.board.task(slug)
            if task is None or task.schedule is None:
                continue
            schedule = desk.replaced(task.schedule, task.policy)
            if schedule == task.schedule:
                continue
            moment = desk.clock()
            is_due = task.next_at is not None and task.next_at <= moment  # then it was due by the old clocks
            next_at = task.next_at if is_due else schedule.next_after(moment)
            desk.board.put_task(await desk.ledger.do(Store.reschedule, slug, schedule, next_at))
            desk.tell_schedule(desk.board.find(slug))
    desk.nudge()


async def turn_back(desk: Desk) -> None:
    """Let tasks go on from now, after the clock was set back.

    What ran does not run again: its instant has a row. What lies ahead again and did not run is due again. Intervals
    count anew from now, for it is elapsed time that they measure.
    """
    for slug in [task.slug for task in desk.board.tasks()]:
        async with desk.alone(slug):
            task = desk.board.task(slug)
            if task is None or task.schedule is None or task.is_disabled:
                continue
            now = desk.clock()
            schedule = task.schedule
            following = schedule.next_after(now)
            if following is None or (task.next_at is not None and task.next_at <= following):
                continue
            if isinstance(schedule, Interval):
                schedule, following = desk.placed(schedule, task.policy)
            changed = await desk.ledger.do(
                Store.turn_back, slug, now, schedule, following, _recount(task.schedule, now)
            )
            if changed is not None:
                desk.board.put_task(changed)
                desk.journal.task(slug, "the clock was set back", "WARN")
                desk.tell_schedule(changed)
    desk.nudge()


async def look_at_clock(desk: Desk) -> None:
    """Turn back where the clock shows less than what was recorded before this start."""
    newest = await desk.ledger.do(Store.newest_moment)
    if desk.clock() < newest:
        desk.journal.service("scheduler", f"the clock was set back: something was recorded at {newest}", "WARN")
        await turn_back(desk)


def _recount(schedule: Schedule, now: datetime) -> Recount:
    def recount(first: datetime) -> tuple[int, datetime]:
        found = schedule.stretch(first, now, newest=1, most=MOST_AT_ONCE)
        return found.older + 1, found.newest[-1]

    return recount
