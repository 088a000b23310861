"""How schedules continue: from now, in another zone or policy, and after the clock was set back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from keiji.policy import Policy
from keiji.records import Task
from keiji.schedule import Schedule
from keiji_engine.scheduler.backlog import LATE_AFTER

# NTP corrects clocks in small steps, also backwards; a larger step back is a set-back.
SET_BACK = timedelta(seconds=1)
_KEPT = timedelta(hours=1)  # for how long a set-back is remembered after the clock has caught up
_TICK = timedelta(microseconds=1)


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


@dataclass(frozen=True, slots=True)
class ClockRecord:
    """A set-back of the clock that has been noticed, as long as the clock has not caught up.

    Args:
        until: what the clock had shown. Rows may exist for instants up to then.
        at: the latest known reading of the clock since.
        is_complete: whether all tasks have been rescheduled, and the waits of queued runs shortened.
    """

    until: datetime
    at: datetime
    is_complete: bool = True

    def is_undone(self, seen: datetime, now: datetime) -> bool:
        """Return whether setting the clock from ``seen`` to ``now`` put it right again."""
        limit = self.until - LATE_AFTER
        return seen < limit <= now and now - seen > LATE_AFTER

    def is_outdated(self, now: datetime) -> bool:
        """Return whether the set-back does not matter any more."""
        return now > self.until + _KEPT

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON data; `from_dict` reverses it."""
        return {"until": self.until.isoformat(), "at": self.at.isoformat(), "is_complete": self.is_complete}

    @classmethod
    def from_dict(cls, data: dict[str, Any] | None) -> ClockRecord | None:
        if data is None:
            return None
        until, at = (datetime.fromisoformat(data[name]) for name in ("until", "at"))
        return cls(until, at, data["is_complete"])


@dataclass(frozen=True, slots=True)
class FormerPlace:
    """Where a task was in its schedule before the clock was set back, so that this can be undone.

    Args:
        next_at: its next due instant.
        anchor: the anchor of its schedule.
        set_anchor: the anchor that it got.
    """

    next_at: datetime | None
    anchor: datetime
    set_anchor: datetime

    @classmethod
    def of(cls, move: SetBack, earlier: FormerPlace | None) -> FormerPlace:
        """Return the former place of a task; ``earlier`` is that of a set-back that is not over yet."""
        assert move.task.schedule is not None
        anchor, set_anchor = move.task.schedule.context.anchor, move.schedule.context.anchor
        if earlier is not None and anchor in (earlier.anchor, earlier.set_anchor):
            return replace(earlier, set_anchor=set_anchor)
        return cls(move.task.next_at, anchor, set_anchor)

    def restore(self, task: Task, until: datetime) -> tuple[Schedule, datetime | None] | None:
        """Return the schedule of a task and its next instant as they were; None if it was rescheduled since.

        Args:
            until: what the clock had shown before it was set back.
        """
        schedule = task.schedule
        if schedule is None or task.is_disabled or schedule.context.anchor != self.set_anchor:
            return None
        schedule = schedule.with_context(replace(schedule.context, anchor=self.anchor))
        if self.next_at is None or is_instant(schedule, self.next_at):
            return schedule, self.next_at
        return schedule, schedule.next_after(until)  # the zone has changed

    def to_list(self) -> list[str | None]:
        """Return the place as plain JSON data; `from_list` reverses it."""
        next_at = self.next_at.isoformat() if self.next_at is not None else None
        return [next_at, self.anchor.isoformat(), self.set_anchor.isoformat()]

    @classmethod
    def from_list(cls, data: list[Any]) -> FormerPlace:
        next_at, anchor, set_anchor = (datetime.fromisoformat(value) if value else None for value in data)
        assert anchor is not None
        assert set_anchor is not None
        return cls(next_at, anchor, set_anchor)


def is_instant(schedule: Schedule, moment: datetime) -> bool:
    """Return whether a schedule is due at ``moment``."""
    return schedule.next_after(moment - _TICK) == moment


def anchor_schedule(schedule: Schedule, policy: Policy, zone: str, now: datetime) -> tuple[Schedule, datetime | None]:
    """Return a schedule that counts from ``now``, in the context of its policy and ``zone``, and its next instant."""
    anchored = schedule.with_context(policy.schedule_context(anchor=now, zone=zone))
    return anchored, anchored.next_after(now)


def move_schedule(task: Task, policy: Policy, zone: str, now: datetime) -> tuple[Schedule, datetime | None]:
    """Return a task's schedule in the context of a policy and ``zone``, still counting as before, and its next instant.

    An instant that is due already was so in the former context, and stays. The next instant also changes if it is none
    of the schedule any more, because the rules of the zone have changed.
    """
    assert task.schedule is not None
    context = policy.schedule_context(anchor=task.schedule.context.anchor, zone=zone)
    schedule = task.schedule.with_context(context)
    if task.next_at is not None and task.next_at <= now:
        return schedule, task.next_at
    if schedule == task.schedule and (task.next_at is None or is_instant(schedule, task.next_at)):
        return schedule, task.next_at
    return schedule, schedule.next_after(now)


def set_back_tasks(tasks: Iterable[Task], zone: str, now: datetime) -> Iterator[SetBack]:
    """Yield how each task continues that is affected by a clock set-back to ``now``.

    Intervals count from now, since they measure elapsed time. Times of day are due again.
    """
    for task in tasks:
        if task.schedule is None or task.is_disabled:
            continue
        schedule, next_at = task.schedule, task.schedule.next_after(now)
        if schedule.anchored_step:
            # An interval that started after ``now`` would wait for as long as the clock was set back.
            if schedule.context.anchor <= now and not _is_due_earlier(next_at, task.next_at):
                continue
            schedule, next_at = anchor_schedule(schedule, task.policy, zone, now)
        elif not _is_due_earlier(next_at, task.next_at):
            continue
        yield SetBack(task, task.next_at, schedule, next_at)


def _is_due_earlier(next_at: datetime | None, recorded: datetime | None) -> bool:
    return next_at is not None and (recorded is None or next_at < recorded)
