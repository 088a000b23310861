"""The open runs of one task, in order, so that the cost of a lookup does not depend on how many are waiting."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from keiji.records import Run
from keiji.states import REQUESTED, RunState, Trigger
from keiji_engine.scheduler.backlog import LATE_AFTER

_Entry = tuple[datetime, str]  # when a run may start, and its id
# The orders whose runs replace live ones, unlike retries. A rerun is ordered as a manual run.
_REPLACING = (Trigger.SCHEDULE, Trigger.MANUAL, Trigger.AT_START, Trigger.ON_CHANGE)


def due_of(run: Run) -> datetime:
    """Return when a queued run may start."""
    return run.due_at or run.created_at


def is_caught_up(run: Run) -> bool:
    """Return whether an occurrence was late when it was claimed. One that waits for a slot counts by its instant."""
    is_occurrence = run.trigger is Trigger.SCHEDULE and run.scheduled_for is not None
    return is_occurrence and run.created_at - (run.scheduled_for or run.created_at) > LATE_AFTER


class TaskRuns:
    """The runs of a task that have not ended.

    The queue has no runs of backfills: they wait apart, since a backfill must not delay occurrences.

    Args:
        runs: the first of them.

    Attributes:
        live: by id, the runs that have a process, or are about to have one.
        backfill_queue: by id, the runs of backfills that wait for a retry.
    """

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self.live: dict[str, Run] = {}
        self.backfill_queue: dict[str, Run] = {}
        self._queued: dict[str, Run] = {}
        self._order: dict[Trigger, list[_Entry]] = {trigger: [] for trigger in (*_REPLACING, Trigger.RETRY)}
        self._caught_up = 0
        for run in runs:
            self.put(run)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.live) + len(self._queued) + len(self.backfill_queue)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskRuns) and list(self) == list(other)

    def __iter__(self) -> Iterator[Run]:
        """Yield the runs, oldest first."""
        runs = (*self.live.values(), *self._queued.values(), *self.backfill_queue.values())
        return iter(sorted(runs, key=lambda run: run.run_id))

    def get(self, run_id: str) -> Run | None:
        """Return one of the runs; None if it is not among them."""
        return self.live.get(run_id) or self._queued.get(run_id) or self.backfill_queue.get(run_id)

    def put(self, run: Run) -> None:
        """Add an open run, or replace the record of it."""
        self.remove(run.run_id)
        self._caught_up += is_caught_up(run)
        if run.state is not RunState.QUEUED:
            self.live[run.run_id] = run
        elif run.trigger is Trigger.BACKFILL:
            self.backfill_queue[run.run_id] = run
        else:
            self._queued[run.run_id] = run
            bisect.insort(self._order_of(run), (due_of(run), run.run_id))

    def remove(self, run_id: str) -> None:
        """Remove a run; do nothing if it is not among them."""
        run = self.live.pop(run_id, None) or self.backfill_queue.pop(run_id, None)
        if run is None:
            run = self._queued.pop(run_id, None)
            if run is None:
                return
            order = self._order_of(run)
            del order[bisect.bisect_left(order, (due_of(run), run_id))]
        self._caught_up -= is_caught_up(run)

    def _order_of(self, run: Run) -> list[_Entry]:
        return self._order[Trigger.MANUAL if run.trigger in REQUESTED else run.trigger]

    @property
    def regular_live(self) -> dict[str, Run]:
        """The live runs that belong to no backfill, by id."""
        return {run_id: run for run_id, run in self.live.items() if run.trigger is not Trigger.BACKFILL}

    @property
    def is_occupied(self) -> bool:
        """Whether there are runs that belong to no backfill."""
        return bool(self._queued or self.regular_live)

    @property
    def first_live(self) -> Run | None:
        """The oldest live run."""
        return self.live[min(self.live)] if self.live else None

    @property
    def first_queued(self) -> Run | None:
        """The queued run that may start first."""
        return next(self._in_order(), None)

    @property
    def waiting(self) -> int:
        """The number of queued runs; without those of backfills."""
        return len(self._queued)

    @property
    def has_caught_up(self) -> bool:
        """Whether an occurrence is among them that was late when it was claimed."""
        return self._caught_up > 0

    @property
    def queued(self) -> Iterator[Run]:
        """The queued runs, in due order."""
        return self._in_order()

    def count_due(self, now: datetime) -> int:
        """Return the number of queued runs that may start at ``now``."""
        return sum(bisect.bisect_right(order, now, key=_due) for order in self._order.values())

    def replacement_at(self, *, only_manual: bool) -> datetime | None:
        """Return when the first queued run is due that would replace the live ones; a retry replaces nothing."""
        return min((order[0][0] for order in self._replacing(only_manual) if order), default=None)

    def replacement(self, now: datetime, *, only_manual: bool) -> Run | None:
        """Return the newest queued run that replaces the live ones at ``now``."""
        found = []
        for order in self._replacing(only_manual):
            index = bisect.bisect_right(order, now, key=_due)
            found += order[index - 1 : index] if index else []
        return self._queued[max(found)[1]] if found else None

    def _replacing(self, only_manual: bool) -> list[list[_Entry]]:
        triggers = (Trigger.MANUAL,) if only_manual else _REPLACING
        return [self._order[trigger] for trigger in triggers]

    def startable_at(self, *, only_manual: bool, in_turn: bool) -> tuple[datetime, Run] | None:
        """Return the queued run that may start first, as far as the other queued runs are concerned, and when.

        Args:
            only_manual: whether occurrences and retries are held back.
            in_turn: whether occurrences wait for a run that is to be retried, since that still occupies the task.
        """
        manual = next(self._in_order(only_manual=True), None)
        first = None if only_manual else self.first_queued
        if first is None or first is manual:
            return None if manual is None else (due_of(manual), manual)
        retries = self._order[Trigger.RETRY]
        first_at = max(due_of(first), retries[-1][0]) if in_turn and retries else due_of(first)
        if manual is not None and due_of(manual) < first_at:
            return due_of(manual), manual
        return first_at, first

    def startable(self, now: datetime, limit: int, *, only_manual: bool, in_turn: bool) -> list[Run]:
        """Return the queued runs that may start at ``now``, in due order, up to ``limit``; see `startable_at`."""
        retries = self._order[Trigger.RETRY]
        only_manual = only_manual or bool(in_turn and retries and retries[-1][0] > now)
        return list(islice(self._in_order(until=now, only_manual=only_manual), max(limit, 0)))

    def _in_order(self, *, until: datetime | None = None, only_manual: bool = False) -> Iterator[Run]:
        orders = [self._order[Trigger.MANUAL]] if only_manual else [order for order in self._order.values() if order]
        for due, run_id in orders[0] if len(orders) == 1 else heapq.merge(*orders):
            if until is not None and due > until:
                return
            yield self._queued[run_id]


def _due(entry: _Entry) -> datetime:
    return entry[0]
