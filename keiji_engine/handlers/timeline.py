"""get-timeline: when all tasks are due within the next hours, merged and bounded."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, islice

from keiji.records import Task
from keiji.schedule import Interval, Occurrence
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import DueInstant, FrequentTask
from keiji_engine.handlers.context import Context

MOST_HOURS = 7 * 24
MOST_INSTANTS = 5000
MOST_LOOKS = 50_000  # at instants, the most that is worth waiting for: a second or two
A_DAYS_WORTH = 48  # a task that is due more often than this within a day has one line
_DENSE = timedelta(hours=1)  # what is due again sooner may be due too often

_Queue = list[tuple[datetime, str, Occurrence]]


async def get_timeline(context: Context, request: p.GetTimeline) -> p.Timeline:
    """Return when all tasks are due, also those that are kept from running: that is told by their views."""
    now = context.clock().astimezone(UTC)
    hours = min(max(request.hours, 1), MOST_HOURS)
    limit = min(max(request.limit, 1), MOST_INSTANTS)
    tasks = [task for task in context.state.tasks() if task.schedule is not None]
    until, instants, often = await asyncio.to_thread(agenda, tasks, now, hours, limit)
    return p.Timeline(id=request.id, until=until, instants=instants, often=often)


def agenda(
    tasks: Iterable[Task], now: datetime, hours: int, limit: int
) -> tuple[datetime, tuple[DueInstant, ...], tuple[FrequentTask, ...]]:
    """Return up to when this is complete, the instants in order, and the tasks that are due too often for that."""
    end = now + timedelta(hours=hours)
    most = A_DAYS_WORTH * hours // 24 + 1
    known = {task.slug: task for task in tasks}
    often: dict[str, datetime] = {}
    following: dict[str, Iterator[Occurrence]] = {}
    queue: _Queue = []
    for task in known.values():
        assert task.schedule is not None
        following[task.slug] = task.schedule.preview(now)
        _put(queue, task.slug, following[task.slug], end)
    found: list[tuple[str, Occurrence]] = []
    counts: Counter[str] = Counter()
    looks = passed_over = 0
    while queue and looks < MOST_LOOKS and len(found) - passed_over <= limit:
        at, slug, due = heapq.heappop(queue)
        if not counts[slug]:
            ahead = _ahead(known[slug], due, following[slug], most)
            looks += len(ahead)
            if (len(ahead) == most and ahead[-1].at < end) or _is_often(known[slug], hours, most):
                often[slug] = at
                continue
            following[slug] = chain(ahead, following[slug])
        looks += 1
        counts[slug] += 1
        found.append((slug, due))
        if counts[slug] > most:  # what is seldom at first and dense later
            often[slug] = next(first.at for name, first in found if name == slug)
            passed_over += counts[slug]
        else:
            _put(queue, slug, following[slug], end)
    kept = [(slug, due) for slug, due in found if slug not in often]
    until = end
    if len(kept) > limit or queue:
        until = kept[limit][1].at if len(kept) > limit else queue[0][0]
        kept = [(slug, due) for slug, due in kept[:limit] if due.at < until] or kept[:limit]
    instants = tuple(_instant(known[slug], due) for slug, due in kept)
    return until, instants, tuple(FrequentTask(task=slug, next_at=at) for slug, at in sorted(often.items()))


def _put(queue: _Queue, slug: str, following: Iterator[Occurrence], end: datetime) -> None:
    due = next(following, None)
    if due is not None and due.at < end:
        heapq.heappush(queue, (due.at, slug, due))


def _ahead(task: Task, due: Occurrence, following: Iterator[Occurrence], most: int) -> list[Occurrence]:
    """Return what follows ``due``, up to ``most``, as far as it takes to see whether a task is due too often."""
    if isinstance(task.schedule, Interval):
        return []  # its step says so
    ahead = list(islice(following, 1))
    if ahead and ahead[0].at - due.at < _DENSE:
        ahead += islice(following, most - 1)
    return ahead


def _is_often(task: Task, hours: int, most: int) -> bool:
    """Return whether a task's interval alone says that it is due too often."""
    schedule = task.schedule
    return isinstance(schedule, Interval) and schedule.step * most < timedelta(hours=hours)


def _instant(task: Task, due: Occurrence) -> DueInstant:
    starts_at = task.start_of(due.at)
    late = (starts_at - due.at).total_seconds()
    notes = [due.note, f"starts {late:g} s later (jitter)" if late and not due.is_skipped else ""]
    note = ", ".join(filter(None, notes))
    return DueInstant(task=task.slug, at=due.at, starts_at=starts_at, note=note, is_skipped=due.is_skipped)
