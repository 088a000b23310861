"""How schedules continue: from now, in another zone or policy, and after the clock was set back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from keiji.policy import Policy
from keiji.records import Task
from keiji.schedule import Interval, Schedule
from keiji_engine.scheduler.backlog import MAX_INSTANTS


@dataclass(frozen=True, slots=True)
class SetBack:
    """How a task continues after the clock was set back.

    Args:
        expected: its next due instant when this was decided.
        schedule, next_at: how it continues.
    """

    task: Task
    expected: datetime | None
    schedule: Schedule
    next_at: datetime | None

    def recount(self, first: datetime, now: datetime) -> tuple[int, datetime]:
        """Return how many instants from ``first`` to ``now`` were due by the task's schedule, and the last of them."""
        assert self.task.schedule is not None
        found = self.task.schedule.range_until(first, now, keep_latest=1, max_count=MAX_INSTANTS)
        return found.earlier_count + 1, found.latest[-1]


def anchor_schedule(schedule: Schedule, policy: Policy, zone: str, now: datetime) -> tuple[Schedule, datetime | None]:
    """Return a schedule that counts from ``now``, in the context of its policy and ``zone``, and its next instant."""
    anchored = schedule.with_context(policy.schedule_context(anchor=now, zone=zone))
    return anchored, anchored.next_after(now)


def move_schedule(task: Task, policy: Policy, zone: str, now: datetime) -> tuple[Schedule, datetime | None]:
    """Return a task's schedule in the context of a policy and ``zone``, still counting as before, and its next instant.

    An instant that is due already was so in the former context, and stays.
    """
    assert task.schedule is not None
    context = policy.schedule_context(anchor=task.schedule.context.anchor, zone=zone)
    schedule = task.schedule.with_context(context)
    is_due = task.next_at is not None and task.next_at <= now
    return schedule, task.next_at if is_due or schedule == task.schedule else schedule.next_after(now)


def set_back_tasks(tasks: Iterable[Task], zone: str, now: datetime) -> Iterator[SetBack]:
    """Yield how each task continues that is affected by a clock set-back to ``now``.

    Intervals count from now, since they measure elapsed time. Times of day are due again.
    """
    for task in tasks:
        if task.schedule is None:
            continue
        schedule, next_at = task.schedule, task.schedule.next_after(now)
        if task.is_disabled:
            next_at = None  # but rows ahead of now would keep it from running once it is enabled
        elif isinstance(schedule, Interval):
            # An interval that started after ``now`` would wait for as long as the clock was set back.
            if schedule.context.anchor <= now and not _is_due_earlier(next_at, task.next_at):
                continue
            schedule, next_at = anchor_schedule(schedule, task.policy, zone, now)
        elif not _is_due_earlier(next_at, task.next_at):
            continue
        yield SetBack(task, task.next_at, schedule, next_at)


def _is_due_earlier(next_at: datetime | None, recorded: datetime | None) -> bool:
    return next_at is not None and (recorded is None or next_at < recorded)
