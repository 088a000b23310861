"""History is pruned in the background: by age, and by how many runs of a task are kept.

Little by little, so that nothing that is due waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import partial

from keiji.errors import StorageError
from keiji.settings import Settings
from keiji_engine.storage.async_store import AsyncStore
from keiji_engine.storage.store import Store

BATCH = 500  # rows that are removed in one transaction
_TOGETHER = 50  # tasks whose runs are counted in one go
_PACE = 0.05  # seconds between two looks
_LEAP = 3600.0  # by so many seconds more than went by a clock is set forth, or the machine slept
_UNSURE = 3600.0  # seconds after that in which nothing is too old
_PERIOD = 60.0  # seconds between two rounds


class Retention:
    """Prunes for as long as it is served.

    Args:
        settings: called for each round, since a reload may change them.
        slugs: returns all tasks.
        note: takes a line for the log of the database, and its level.
    """

    def __init__(
        self,
        ledger: AsyncStore,
        settings: Callable[[], Settings],
        slugs: Callable[[], Iterable[str]],
        clock: Callable[[], datetime],
        note: Callable[[str, str], None],
        *,
        pace: float = _PACE,
        period: float = _PERIOD,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._slugs = slugs
        self._clock = clock
        self._note = note
        self._pace = pace
        self._period = period
        self._steady = time.monotonic()  # since when the clock has not been set forth
        self._shown: tuple[datetime, float] | None = None
        self._added: Counter[str] = Counter()
        self._looked_at: set[str] = set()

    def added(self, slug: str) -> None:
        """A run was added to the history of a task."""
        self._added[slug] += 1

    async def serve(self) -> None:
        """Prune until cancelled."""
        while True:
            try:
                await self._round()
            except StorageError as error:
                self._note(f"history could not be pruned, trying again: {error.message}", "ERROR")
            await asyncio.sleep(self._period)

    async def _round(self) -> None:
        settings = self._settings()
        if settings.keep_days and self._is_clock_steady():
            before = self._clock() - timedelta(days=settings.keep_days)
            await self._while_full(lambda: self._ledger.do(Store.prune_old, before, BATCH))
        if keep := settings.keep_runs:
            grown = self._grown(keep)
            for first in range(0, len(grown), _TOGETHER):
                slugs = grown[first : first + _TOGETHER]
                for slug in await self._ledger.do(Store.overfull, slugs, keep):
                    await self._while_full(partial(self._ledger.do, Store.prune_surplus, slug, keep, BATCH))
                for slug in slugs:
                    self._added.pop(slug, None)
                self._looked_at.update(slugs)
                await asyncio.sleep(self._pace)

    def _is_clock_steady(self) -> bool:
        """Return whether the clock has gone on evenly for a while: set wrong for a minute, it must cost no history."""
        now, ticks = self._clock(), time.monotonic()
        if self._shown is not None:
            before, ticks_before = self._shown
            if (now - before).total_seconds() - (ticks - ticks_before) > _LEAP:
                self._steady = ticks + _UNSURE
        self._shown = now, ticks
        return ticks >= self._steady

    async def _while_full(self, prune: Callable[[], Awaitable[int]]) -> None:
        """Prune a batch after the other for as long as they are full, with room for others in between."""
        removed = BATCH
        while removed >= BATCH:
            removed = await prune()
            await asyncio.sleep(self._pace)

    def _grown(self, keep: int) -> list[str]:
        """Return the tasks that may have too many runs: those that grew by a tenth, and those not looked at yet."""
        slack = max(keep // 10, 1)
        slugs = set(self._slugs())
        self._looked_at &= slugs
        return sorted(slug for slug in slugs if slug not in self._looked_at or self._added[slug] >= slack)
