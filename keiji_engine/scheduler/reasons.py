"""Why something does not run, or runs late, in words that rows of the history keep. Times are in the zone given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo

from keiji.records import Pause, Run, Task


def short(moment: datetime, zone: tzinfo) -> str:
    """Return a moment as reasons give it."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def busy(ahead: Sequence[Run], task: Task, zone: tzinfo) -> str:
    """Return why a task is not free: what runs of it, or waits."""
    for run in ahead:
        if run.is_live:
            return f"still running since {short(run.started_at or run.created_at, zone)}"
    run = ahead[0]
    when = f" at {short(run.due_at, zone)}" if run.due_at else ""
    if run.attempt > 1:
        return f"attempt {run.attempt} of {task.policy.retry.tries} is to come{when}"
    return f"the one before it has not begun{f' ({run.reason})' if run.reason else ''}"


def held(task: Task, zone: tzinfo) -> str:
    """Return why a task that is held does not run."""
    since = f" since {short(task.held_at, zone)}" if task.held_at else ""
    times = "a failure" if task.failures == 1 else f"{task.failures} failures in a row"
    return f"held{since}, after {times}, until somebody resolves it"


def paused(pause: Pause, zone: tzinfo, whole: str = "") -> str:
    """Return why nothing starts while there is a pause."""
    return f"paused{whole} since {short(pause.since, zone)}{f': {pause.reason}' if pause.reason else ''}"


def no_slot(most: int) -> str:
    """Return why something waits while as many runs are live as may be."""
    return f"waits for a slot: {most} {'run is' if most == 1 else 'runs are'} going on (MAX_PARALLEL_RUNS)"


def ago(late: timedelta) -> str:
    """Return how late something is, in one unit."""
    seconds = int(late.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
