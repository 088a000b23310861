"""The store, reached from the engine's loop: every verb runs on one thread of its own, in the order of the calls.

A database that hangs then holds up whoever waits for it, but no heartbeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage.store import Store

P = ParamSpec("P")
R = TypeVar("R")


class AsyncStore:
    """``await ledger.do(Store.verb, …)``."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._store: Store | None = None

    async def open(self, settings: Settings, paths: Paths) -> None:
        """Open the database and bring its schema up to date. Raises StorageError."""
        self._store = await asyncio.get_running_loop().run_in_executor(self._thread, Store.open, settings, paths)

    async def do(self, verb: Callable[Concatenate[Store, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Carry out a verb of the store. Raises what it raises; StorageError where the database is out of reach."""
        store = self._store
        assert store is not None, "open() comes first"
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: verb(store, *args, **kwargs))

    async def close(self) -> None:
        """Close the database after what is under way."""
        if self._store is not None:
            await self.do(Store.close)
        self._thread.shutdown(wait=False)
