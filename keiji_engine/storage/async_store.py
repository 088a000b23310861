"""The store as the event loop uses it: every call runs in one thread of its own, in the order of the calls.

A database that hangs delays those who wait for it, but no heartbeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from keiji.paths import Paths
from keiji.records import RunOrigin
from keiji.settings import Settings
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.store import Store
from keiji_engine.storage.transactions import Operation, Query, T


class AsyncStore:
    """A store in a thread.

    Args:
        store: a store that is already open; without one, `open` comes first.
    """

    def __init__(self, store: Store | None = None) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._store = store

    async def open(self, settings: Settings, paths: Paths) -> None:
        """Open the database and bring its schema up to date. Raises StorageError."""
        self._store = await asyncio.get_running_loop().run_in_executor(self._thread, Store.open, settings, paths)

    def set_run_origin(self, origin: RunOrigin) -> None:
        """Set what is recorded with each run that is claimed from now on."""
        assert self._store is not None, "open() comes first"
        self._store.run_origin = origin

    async def read(self, query: Query[T]) -> T:
        """Return what ``query`` returns, in one transaction. Raises StorageError, and what the query raises."""
        return await self._call(lambda store: store.read(query))

    async def write_batch(
        self, batch: Sequence[Sequence[Operation]], *, flush: bool = True
    ) -> list[Changes | Exception]:
        """Commit groups of operations together; see `Store.write_batch`."""
        return await self._call(lambda store: store.write_batch(batch, flush=flush))

    async def check(self, *, deep: bool = False) -> None:
        """Raise StorageError if the database is certainly not usable, or not ours any more; see `Store.check`."""
        await self._call(lambda store: store.check(deep=deep))

    async def reopen(self, *, with_tasks: bool) -> bool:
        """Open the database that took the place of a deleted or replaced one; see `Store.reopen`."""
        return await self._call(lambda store: store.reopen(with_tasks=with_tasks))

    async def require_owner(self) -> None:
        """Raise ForeignDatabase if the database belongs to another installation."""
        await self._call(Store.require_owner)

    async def close(self) -> None:
        """Close the database, after the calls in progress."""
        if self._store is not None:
            await self._call(Store.close)
        self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[[Store], T]) -> T:
        store = self._store
        assert store is not None, "open() comes first"
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, store)
