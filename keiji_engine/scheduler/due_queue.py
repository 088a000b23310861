"""Which tasks are due when: a sorted list, so that the cost of a lookup does not depend on the number of tasks."""

from __future__ import annotations

import bisect
from datetime import datetime

_Entry = tuple[datetime, str]


def _moment(entry: _Entry) -> datetime:
    return entry[0]


class DueQueue:
    """The next due instant of each task."""

    def __init__(self) -> None:
        self._next: dict[str, datetime] = {}
        self._order: list[_Entry] = []

    def set(self, slug: str, moment: datetime | None) -> None:
        """Set the next due instant of a task; None removes the task."""
        known = self._next.get(slug)
        if known == moment:
            return
        if known is not None:
            del self._order[bisect.bisect_left(self._order, (known, slug))]
            del self._next[slug]
        if moment is not None:
            self._next[slug] = moment
            bisect.insort(self._order, (moment, slug))

    def due(
        self, now: datetime, *, after: datetime | None = None, limit: int | None = None, newest_first: bool = False
    ) -> list[str]:
        """Return the tasks whose instants are due at ``now``, in due order.

        Args:
            after: leave out instants up to this one.
            limit: maximum number of tasks.
            newest_first: in the opposite order, so that ``limit`` leaves out the earliest instants.
        """
        first = 0 if after is None else bisect.bisect_right(self._order, after, key=_moment)
        end = bisect.bisect_right(self._order, now, key=_moment)
        count = max(end - first, 0) if limit is None else min(max(end - first, 0), limit)
        indices = range(end - 1, end - 1 - count, -1) if newest_first else range(first, first + count)
        return [self._order[index][1] for index in indices]

    def next_after(self, now: datetime) -> datetime | None:
        """Return the first instant after ``now``."""
        index = bisect.bisect_right(self._order, now, key=_moment)
        return self._order[index][0] if index < len(self._order) else None
