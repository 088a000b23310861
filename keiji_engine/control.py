"""What directives may ask of the running engine: its views, its services, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from keiji import __version__, engine_process
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

_REPLY_TIME = 0.1  # seconds for a reply to be sent before the bus stops
_CLOCK_TOLERANCE = timedelta(seconds=1)

_log = logging.getLogger("keiji.engine")


class EngineControl:
    """Implements `keiji_engine.handlers.context.EngineControl`."""

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
        clock: Callable[[], datetime],
    ) -> None:
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
        self._clock = clock
        self._started_at = clock()
        self._start_reading = _elapsed()
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

    def write_info(self) -> None:
        """Write ``engine.json``: the engine is ready."""
        services = tuple(
            {"name": view.name, "status": str(view.status), "since": view.since.isoformat(), "detail": view.detail}
            for view in self.service_views()
        )
        info = engine_process.EngineInfo(
            os.getpid(), self._bus.boot, __version__, self._started_at.isoformat(), services
        )
        with contextlib.suppress(OSError):
            engine_process.write_info(self._paths, info)

    def _update_info(self) -> None:
        if self._paths.engine_info.exists():
            self.write_info()

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
        await self._supervisor.start(name)

    async def stop_service(self, name: str) -> None:
        if name == "bus":
            self._background.start(self._after_reply(lambda: self._supervisor.stop(name)), _log)
        else:
            await self._supervisor.stop(name)

    async def restart_service(self, name: str) -> None:
        if name == "bus":
            self._background.start(self._after_reply(lambda: self._supervisor.restart(name)), _log)
        else:
            await self._supervisor.restart(name)

    def shut_down(self) -> None:
        asyncio.get_running_loop().call_later(_REPLY_TIME, self.stopping.set)

    async def _after_reply(self, action: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(_REPLY_TIME)
        await action()


def _elapsed() -> float:
    """Return the reading of a clock that nobody can set, in seconds; where there is one, it counts suspended time."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
