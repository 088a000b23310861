"""What directives may ask of the running engine: its views, its services, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from keiji import __version__, engine_process
from keiji.engine_process import EngineLock
from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.background import BackgroundTasks
from keiji_engine.bus import protocol as p
from keiji_engine.bus.server import BusServer
from keiji_engine.bus.views import EngineView, ServiceView
from keiji_engine.events import Committed, EventBus
from keiji_engine.run_service import RunService
from keiji_engine.services import ServiceSupervisor
from keiji_engine.state import EngineState
from keiji_engine.watcher import Watcher

_FLUSH_TIMEOUT = 1.0  # seconds
_REPLY_TIME = 0.1  # seconds for a reply to be sent before the bus stops
_CLOCK_TOLERANCE = timedelta(seconds=1)

_log = logging.getLogger("keiji.engine")


class RunningEngine:
    """The running engine, as the handlers control it: implements `EngineControl`."""

    def __init__(
        self,
        *,
        paths: Paths,
        settings: Callable[[], Settings],
        state: EngineState,
        events: EventBus,
        supervisor: ServiceSupervisor,
        bus: BusServer,
        runs: RunService,
        watcher: Watcher,
        background: BackgroundTasks,
        lock: EngineLock,
        clock: Callable[[], datetime],
        is_detached: bool = False,
    ) -> None:
        self._is_detached = is_detached
        self.runs = runs
        self.stopping = asyncio.Event()
        self._paths = paths
        self._settings = settings
        self._state = state
        self._events = events
        self._supervisor = supervisor
        self._bus = bus
        self._watcher = watcher
        self._background = background
        self._lock = lock
        self._clock = clock
        self._is_ready = False
        self._started_at = clock()
        self._start_reading = _elapsed()
        self._info_thread = ThreadPoolExecutor(1, "engine info")  # one, so that the latest state is written last
        events.subscribe(Committed, self._committed)
        events.subscribe(p.ServiceChanged, lambda _: self._update_info())

    # ── views ────────────────────────────────────────────────────────────────────────────────────────────────────

    def engine_view(self) -> EngineView:
        settings = self._settings()
        return EngineView(
            pid=os.getpid(),
            version=__version__,
            boot=self._bus.boot,
            started_at=self._started_at,
            workspace=str(self._paths.workspace),
            database=settings.database_kind,
            time_zone=settings.time_zone,
            pause=self._state.pause,
        )

    def service_views(self) -> tuple[ServiceView, ...]:
        return self._supervisor.views()

    def position(self) -> tuple[str, int]:
        return self._bus.boot, self._bus.seq

    async def set_ready(self) -> None:
        """Publish that the engine is ready, in its lock and in ``engine.json``, which follows the services from now."""
        self._is_ready = True
        await asyncio.to_thread(self._lock.set_ready)
        await self.write_info()  # last: whoever starts an engine waits for it

    async def write_info(self) -> None:
        """Write ``engine.json``."""
        await asyncio.wrap_future(self._info_thread.submit(self._replace_info, self._info()))

    async def remove_info(self) -> None:
        """Remove ``engine.json``: the engine is about to exit."""
        self._is_ready = False
        await asyncio.wrap_future(self._info_thread.submit(engine_process.remove_info, self._lock.paths))

    def _replace_info(self, info: engine_process.EngineInfo) -> None:
        with contextlib.suppress(OSError):
            engine_process.write_info(self._lock.paths, info)

    def _info(self) -> engine_process.EngineInfo:
        services = tuple(
            {"name": view.name, "status": str(view.status), "since": view.since.isoformat(), "detail": view.detail}
            for view in self.service_views()
        )
        return engine_process.EngineInfo(
            os.getpid(), self._bus.boot, __version__, self._started_at.isoformat(), services, self._is_detached
        )

    def _update_info(self) -> None:
        if self._is_ready:
            self._info_thread.submit(self._replace_info, self._info())

    async def _flush_info(self) -> None:
        """Wait, but not long, until ``engine.json`` is up to date: a client may read it after the reply."""
        written = asyncio.wrap_future(self._info_thread.submit(lambda: None))
        await asyncio.wait([written], timeout=_FLUSH_TIMEOUT)

    def _committed(self, event: Committed) -> None:
        if event.changes.pause_changed:
            self._events.publish(p.EngineChanged(engine=self.engine_view()))

    def correct_start_time(self) -> None:
        """After the wall clock was set, move the time of the start along, so that the uptime stays right."""
        started_at = self._clock() - timedelta(seconds=_elapsed() - self._start_reading)
        if abs(started_at - self._started_at) > _CLOCK_TOLERANCE:
            self._started_at = started_at
            self._update_info()
            self._events.publish(p.EngineChanged(engine=self.engine_view()))

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def recheck_sources(self, slug: str) -> None:
        self._watcher.recheck(slug)

    async def start_service(self, name: str) -> None:
        try:
            await self._supervisor.start(name)
        finally:
            await self._flush_info()

    async def stop_service(self, name: str) -> None:
        if name == "bus":
            self._background.start(self._after_reply(lambda: self._supervisor.stop(name)), _log)
        else:
            await self._supervisor.stop(name)
            await self._flush_info()

    async def restart_service(self, name: str) -> None:
        if name == "bus":
            self._background.start(self._after_reply(lambda: self._supervisor.restart(name)), _log)
        else:
            try:
                await self._supervisor.restart(name)
            finally:
                await self._flush_info()

    def shut_down(self) -> None:
        asyncio.get_running_loop().call_later(_REPLY_TIME, self.stopping.set)

    async def _after_reply(self, action: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(_REPLY_TIME)
        await action()


def _elapsed() -> float:
    """Return the time of a clock that cannot be set, in seconds; if available, one that includes suspended time."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
