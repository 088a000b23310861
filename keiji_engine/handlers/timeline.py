"""get-timeline: the due instants of all tasks within the next hours, merged and bounded."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, islice
from types import MappingProxyType

from keiji.formats import format_duration
from keiji.records import Task
from keiji.schedule import Interval, Occurrence
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import DueInstant, FrequentTask
from keiji_engine.handlers.context import Context
from keiji_engine.scheduler_service import ran_ahead

MAX_HOURS = 7 * 24
MAX_INSTANTS = 5000
MAX_EVALUATED = 50_000  # occurrences to evaluate; takes one or two seconds
MAX_PER_DAY = 48  # a task that is due more often is listed once, as a frequent task
_DENSE_STEP = timedelta(hours=1)  # below this step, a task may exceed MAX_PER_DAY

_Queue = list[tuple[datetime, str, Occurrence]]


async def get_timeline(context: Context, request: p.GetTimeline) -> p.Timeline:
    """Return the due instants of all tasks, including tasks that are disabled or paused: their views say so."""
    now = context.clock().astimezone(UTC)
    hours = min(max(request.hours, 1), MAX_HOURS)
    limit = min(max(request.limit, 1), MAX_INSTANTS)
    tasks = [task for task in context.state.tasks() if task.schedule is not None]
    ran = await context.state.read(partial(ran_ahead, now=now))
    until, instants, frequent_tasks = await asyncio.to_thread(build_timeline, tasks, now, hours, limit, ran)
    return p.Timeline(id=request.id, until=until, instants=instants, frequent_tasks=frequent_tasks)


def build_timeline(
    tasks: Iterable[Task],
    now: datetime,
    hours: int,
    limit: int,
    ran: Mapping[str, Collection[datetime]] = MappingProxyType({}),
) -> tuple[datetime, tuple[DueInstant, ...], tuple[FrequentTask, ...]]:
    """Merge the due instants of ``tasks`` within the next ``hours``, at most ``limit`` of them.

    Args:
        ran: instants of a task that have run already, as there are after the clock was set back.

    Returns:
        The instant up to which the result is complete, the due instants in order, and the tasks that are due more often
        than `MAX_PER_DAY`, by name.
    """
    end = now + timedelta(hours=hours)
    max_per_task = MAX_PER_DAY * hours // 24 + 1
    by_slug = {task.slug: task for task in tasks}
    frequent: dict[str, datetime] = {}
    occurrences: dict[str, Iterator[Occurrence]] = {}
    queue: _Queue = []
    for task in by_slug.values():
        assert task.schedule is not None
        occurrences[task.slug] = _not_run(task.schedule.preview(now), ran.get(task.slug, ()))
        _push_next(queue, task.slug, occurrences[task.slug], end)
    merged: list[tuple[str, Occurrence]] = []
    counts: Counter[str] = Counter()
    evaluated = discarded = 0
    while queue and evaluated < MAX_EVALUATED and len(merged) - discarded <= limit:
        at, slug, occurrence = heapq.heappop(queue)
        if not counts[slug]:
            ahead = _look_ahead(by_slug[slug], occurrence, occurrences[slug], max_per_task)
            evaluated += len(ahead)
            is_frequent = len(ahead) == max_per_task and ahead[-1].at < end
            if is_frequent or _has_short_interval(by_slug[slug], hours, max_per_task):
                frequent[slug] = at
                continue
            occurrences[slug] = chain(ahead, occurrences[slug])
        evaluated += 1
        counts[slug] += 1
        merged.append((slug, occurrence))
        if counts[slug] > max_per_task:  # sparse at first, dense later
            frequent[slug] = next(first.at for name, first in merged if name == slug)
            discarded += counts[slug]
        else:
            _push_next(queue, slug, occurrences[slug], end)
    kept = [(slug, occurrence) for slug, occurrence in merged if slug not in frequent]
    until = end
    if len(kept) > limit or queue:
        until = kept[limit][1].at if len(kept) > limit else queue[0][0]
        kept = [(slug, occurrence) for slug, occurrence in kept[:limit] if occurrence.at < until] or kept[:limit]
    instants = tuple(due_instant(by_slug[slug], occurrence) for slug, occurrence in kept)
    return until, instants, tuple(FrequentTask(task=slug, next_at=at) for slug, at in sorted(frequent.items()))


def _not_run(occurrences: Iterator[Occurrence], ran: Collection[datetime]) -> Iterator[Occurrence]:
    if not ran:
        return occurrences
    return (occurrence for occurrence in occurrences if occurrence.is_skipped or occurrence.at not in ran)


def due_instant(task: Task, occurrence: Occurrence) -> DueInstant:
    """Return an occurrence as clients see it, with the start time and a note on daylight saving and jitter."""
    starts_at = task.start_time(occurrence.at)
    delay = (starts_at - occurrence.at).total_seconds()
    jitter_note = f"starts {format_duration(delay)} later (jitter)" if delay and not occurrence.is_skipped else ""
    return DueInstant(
        task=task.slug,
        at=occurrence.at,
        starts_at=starts_at,
        note=", ".join(filter(None, (occurrence.note, jitter_note))),
        is_skipped=occurrence.is_skipped,
    )


def _push_next(queue: _Queue, slug: str, occurrences: Iterator[Occurrence], end: datetime) -> None:
    occurrence = next(occurrences, None)
    if occurrence is not None and occurrence.at < end:
        heapq.heappush(queue, (occurrence.at, slug, occurrence))


def _look_ahead(
    task: Task, occurrence: Occurrence, following: Iterator[Occurrence], max_per_task: int
) -> list[Occurrence]:
    """Return as many of the ``following`` occurrences as it takes to see whether a task is frequent."""
    if isinstance(task.schedule, Interval):
        return []  # _has_short_interval decides
    ahead = list(islice(following, 1))
    if ahead and ahead[0].at - occurrence.at < _DENSE_STEP:
        ahead += islice(following, max_per_task - 1)
    return ahead


def _has_short_interval(task: Task, hours: int, max_per_task: int) -> bool:
    schedule = task.schedule
    return isinstance(schedule, Interval) and schedule.step * max_per_task < timedelta(hours=hours)
