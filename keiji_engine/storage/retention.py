"""Prunes the history in the background: by age, and by the number of runs of each task.

It works in small steps, so that nothing that is due is delayed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from keiji.errors import StorageError
from keiji.records import Run
from keiji.schedule import EPOCH
from keiji.settings import Settings
from keiji.states import ENDED
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.transactions import Operation, Query, T, Transaction

BATCH = 500  # rows removed per transaction
_TASKS_PER_QUERY = 50
_PAUSE = 0.05  # seconds between two transactions
_LEAP = timedelta(hours=1)  # the clock was set forward by more than this, or the engine or the machine was stopped
_SETTLED = timedelta(hours=12)  # after this time, a leap was no mistake
_LEAP_RECORD = "clock_leap"
_INTERVAL = 60.0  # seconds between two rounds

_log = logging.getLogger("keiji.repo")


class State(Protocol):
    """What pruning needs of the engine's state."""

    async def apply(self, *operations: Operation) -> Changes: ...

    async def read(self, query: Query[T]) -> T: ...


@dataclass(frozen=True, slots=True)
class _Leap:
    """The clock went from ``before`` to ``at`` at once."""

    before: datetime
    at: datetime

    def to_dict(self) -> dict[str, str]:
        return {"before": self.before.isoformat(), "at": self.at.isoformat()}

    @classmethod
    def from_dict(cls, data: dict[str, str]) -> _Leap:
        return cls(datetime.fromisoformat(data["before"]), datetime.fromisoformat(data["at"]))


class Retention:
    """Prunes while it is served.

    Args:
        settings: called for each round, since a reload may change them.
        slugs: returns all tasks.
    """

    def __init__(
        self,
        state: State,
        settings: Callable[[], Settings],
        slugs: Callable[[], Iterable[str]],
        clock: Callable[[], datetime],
        *,
        pause: float = _PAUSE,
        interval: float = _INTERVAL,
    ) -> None:
        self._state = state
        self._settings = settings
        self._slugs = slugs
        self._clock = clock
        self._pause = pause
        self._interval = interval
        self._last_reading: datetime | None = None
        self._added: Counter[str] = Counter()  # rows added since the last check, by task
        self._checked: set[str] = set()

    def count(self, runs: Iterable[Run]) -> None:
        """Count the runs that were added to the history."""
        self._added.update(run.task for run in runs if run.state in ENDED)

    async def prepare(self) -> None:
        """Read when the clock was read last, before this engine records anything. Raises StorageError."""
        self._last_reading = await self._state.read(lambda transaction: transaction.history.newest_moment())

    async def serve(self) -> None:
        """Prune until cancelled."""
        while True:
            try:
                await self._round()
            except StorageError as error:
                _log.error("the history could not be pruned, trying again: %s", error.message)
            await asyncio.sleep(self._interval)

    async def _round(self) -> None:
        settings = self._settings()
        trusted = await self._trusted_moment()
        if settings.keep_days:
            before = trusted - timedelta(days=settings.keep_days)
            await self._while_full(lambda transaction: transaction.history.prune_before(before, BATCH))
        if keep := settings.keep_runs:
            grown = self._grown(keep)
            for first in range(0, len(grown), _TASKS_PER_QUERY):
                slugs = grown[first : first + _TASKS_PER_QUERY]
                self._checked.difference_update(slugs)  # until the check is complete
                for slug in slugs:
                    self._added.pop(slug, None)  # before the check: rows that are added meanwhile count for the next
                for slug in await self._state.read(partial(_over_limit, slugs=slugs, keep=keep)):
                    await self._while_full(partial(_prune_surplus, slug=slug, keep=keep))
                self._checked.update(slugs)
                await asyncio.sleep(self._pause)

    async def _trusted_moment(self) -> datetime:
        """Return the moment from which ages are counted: now, unless the clock has just leapt forward.

        A clock that is set wrong for a while must cost no history. After a leap, ages are therefore counted from the
        moment before it, until the clock has been right, as it seems, for half a day, or was set back.
        """
        now, last = self._clock(), self._last_reading
        self._last_reading = now
        stored = await self._state.read(lambda transaction: transaction.system.value(_LEAP_RECORD))
        leap = _Leap.from_dict(stored) if stored is not None else None
        if leap is not None and not leap.at <= now < leap.at + _SETTLED:
            leap = None
        if last is not None and last > EPOCH and now - last > _LEAP:
            leap = _Leap(before=leap.before if leap is not None else last, at=now)
        updated = leap.to_dict() if leap is not None else None
        if updated != stored:
            await self._state.apply(lambda transaction: transaction.system.set_value(_LEAP_RECORD, updated))
        return now if leap is None else min(leap.before, now)

    async def _while_full(self, prune: Operation) -> None:
        """Prune in batches until one is not full, with a pause after each."""
        pruned = BATCH
        while pruned >= BATCH:
            pruned = (await self._state.apply(prune)).pruned
            await asyncio.sleep(self._pause)

    def _grown(self, keep: int) -> list[str]:
        """Return the tasks that may have too many runs: those that grew by a tenth, and those not checked yet."""
        slack = max(keep // 10, 1)
        slugs = set(self._slugs())
        self._checked &= slugs
        return sorted(slug for slug in slugs if slug not in self._checked or self._added[slug] >= slack)


def _over_limit(transaction: Transaction, *, slugs: list[str], keep: int) -> list[str]:
    return transaction.history.over_limit(slugs, keep)


def _prune_surplus(transaction: Transaction, *, slug: str, keep: int) -> None:
    transaction.history.prune_surplus(slug, keep, BATCH)
