"""Recreates the files with which clients find the engine, if they are deleted.

Programs that clean up /tmp delete them, and so does systemd-logind at the last logout of a user, in /dev/shm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from keiji.engine_process import EngineLock
from keiji.errors import EngineRunning, KeijiError
from keiji_engine.bus.server import BusServer

CHECK_INTERVAL = 0.5  # seconds

_log = logging.getLogger("keiji.engine")


class RuntimeFolder:
    """Checks the files of the locks, ``engine.json`` and the sockets, and creates them again if they are missing.

    Args:
        write_info: writes ``engine.json``.
        on_replaced: called if another engine was started after the files of the locks had been deleted.
    """

    def __init__(
        self,
        lock: EngineLock,
        bus: BusServer,
        write_info: Callable[[], Awaitable[None]],
        on_replaced: Callable[[], None],
    ) -> None:
        self._lock = lock
        self._bus = bus
        self._write_info = write_info
        self._on_replaced = on_replaced
        self._problem = ""

    async def serve(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            try:
                # In a thread: a check reads folders, which may be on a disk that is slow.
                if await asyncio.to_thread(self._is_in_place):
                    continue
                folder = self._lock.paths.runtime
                await asyncio.to_thread(self._lock.restore)
                await self._bus.restore(self._lock.paths)
                await self._write_info()
            except EngineRunning as error:
                _log.error("%s; this engine stops, its runs continue", error)
                self._on_replaced()
                return
            except (KeijiError, OSError) as error:
                if str(error) != self._problem:
                    self._problem = str(error)
                    _log.error("clients cannot reach the engine, and it cannot create the files for it: %s", error)
            else:
                self._problem = ""
                now = f", now in {self._lock.paths.runtime}" if self._lock.paths.runtime != folder else ""
                _log.warning("files in %s had been deleted; they have been created again%s", folder, now)

    def _is_in_place(self) -> bool:
        return self._lock.is_in_place() and self._lock.paths.engine_info.exists() and self._bus.is_in_place()
