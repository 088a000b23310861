"""The rows of the next 24 hours: one per due instant, and one per task that is due too often to list each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from keiji_engine.bus.protocol import Timeline
from keiji_engine.bus.views import DueInstant, TaskView


@dataclass(frozen=True, slots=True)
class DueRow:
    """A due instant of a task, a frequent task with its next one, or a task that waits for an event.

    Args:
        at: the instant; that of the request for a task that waits for an event.
        is_event: whether the task waits for an event rather than an instant.
        connector: the line that connects it with the instants of the same minute; "" if there is no other.
        simultaneous: how many instants are in that minute.
    """

    slug: str
    at: datetime
    note: str = ""
    is_skipped: bool = False
    is_frequent: bool = False
    is_event: bool = False
    connector: str = ""
    simultaneous: int = 1


def due_rows(timeline: Timeline) -> dict[str, DueRow]:
    """Return all rows by key: frequent tasks first, then instants in their order."""
    frequent = {
        f"often {task.task}": DueRow(task.task, task.next_at, is_frequent=True) for task in timeline.frequent_tasks
    }
    instants = {
        f"{due.at.timestamp():.6f} {due.task}": DueRow(
            due.task, due.at, due.note, due.is_skipped, connector=connector, simultaneous=count
        )
        for due, (connector, count) in zip(timeline.instants, _connectors(timeline.instants), strict=True)
    }
    return frequent | instants


def event_rows(tasks: Iterable[TaskView], now: datetime) -> dict[str, DueRow]:
    """Return a row by key for each task that events run, or that only users start."""
    return {f"event {task.slug}": DueRow(task.slug, now, is_event=True) for task in tasks if task.events}


def hourly_counts(rows: Iterable[DueRow], start: datetime, zone: tzinfo) -> Counter[int]:
    """Return how many instants will be due in each hour, counted from the hour of ``start`` in ``zone``."""
    first = start.astimezone(zone).replace(minute=0, second=0, microsecond=0).timestamp()
    return Counter(
        int((row.at.timestamp() - first) // 3600)
        for row in rows
        if not (row.is_frequent or row.is_event or row.is_skipped)
    )


def _connectors(instants: Sequence[DueInstant]) -> Iterator[tuple[str, int]]:
    """Yield the connector of each instant, and the number of instants within the same minute."""
    minutes = [due.at.replace(second=0, microsecond=0) for due in instants]
    counts = Counter(minutes)
    for number, minute in enumerate(minutes):
        is_first = number == 0 or minutes[number - 1] != minute
        is_last = number + 1 == len(minutes) or minutes[number + 1] != minute
        yield ("" if counts[minute] == 1 else "┌" if is_first else "└" if is_last else "│"), counts[minute]
