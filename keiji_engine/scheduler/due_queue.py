"""Which tasks are due when. Looking is cheap however many tasks there are."""

from __future__ import annotations

import heapq
from datetime import datetime

_ROOM = 64


class DueQueue:
    """The next instant of each task.

    What a task was put down for before stays in the heap until it comes up, and is passed over then.
    """

    def __init__(self) -> None:
        self._next: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []

    def put(self, slug: str, moment: datetime | None) -> None:
        """Put a task down for a moment, and for no other; None takes it off."""
        if moment is None:
            self._next.pop(slug, None)
        elif self._next.get(slug) != moment:
            self._next[slug] = moment
            heapq.heappush(self._heap, (moment, slug))
        if len(self._heap) > 2 * len(self._next) + _ROOM:
            self._heap = [(moment, slug) for slug, moment in self._next.items()]
            heapq.heapify(self._heap)

    def look(self, now: datetime) -> tuple[list[str], datetime | None]:
        """Return the tasks that are due by ``now``, in the order in which they are, and when the next one after is."""
        due: dict[str, datetime] = {}
        while self._heap and self._heap[0][0] <= now:
            moment, slug = heapq.heappop(self._heap)
            if self._next.get(slug) == moment:
                due[slug] = moment
        following = self._first()
        for slug, moment in due.items():
            heapq.heappush(self._heap, (moment, slug))
        return list(due), following

    def _first(self) -> datetime | None:
        while self._heap and self._next.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
