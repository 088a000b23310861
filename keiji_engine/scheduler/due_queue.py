"""Which tasks are due when: a heap, so that the cost of a lookup does not depend on the number of tasks."""

from __future__ import annotations

import heapq
from datetime import datetime

_MAX_OUTDATED = 64


class DueQueue:
    """The next due instant of each task.

    An outdated entry of a task stays in the heap until it reaches the top, and is discarded then.
    """

    def __init__(self) -> None:
        self._next: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []

    def set(self, slug: str, moment: datetime | None) -> None:
        """Set the next due instant of a task; None removes the task."""
        if moment is None:
            self._next.pop(slug, None)
        elif self._next.get(slug) != moment:
            self._next[slug] = moment
            heapq.heappush(self._heap, (moment, slug))
        if len(self._heap) > 2 * len(self._next) + _MAX_OUTDATED:
            self._heap = [(moment, slug) for slug, moment in self._next.items()]
            heapq.heapify(self._heap)

    def due(self, now: datetime) -> tuple[list[str], datetime | None]:
        """Return the tasks that are due at ``now``, in due order, and the next due instant after ``now``."""
        due: dict[str, datetime] = {}
        while self._heap and self._heap[0][0] <= now:
            moment, slug = heapq.heappop(self._heap)
            if self._next.get(slug) == moment:
                due[slug] = moment
        next_at = self._first()
        for slug, moment in due.items():
            heapq.heappush(self._heap, (moment, slug))
        return list(due), next_at

    def _first(self) -> datetime | None:
        while self._heap and self._next.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
