"""Services: the parts of the engine that can be started, stopped and restarted individually; their supervision."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime

from keiji.errors import KeijiError, UsageError
from keiji.formats import format_duration
from keiji.reasons import Reason, render
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import ServiceStatus, ServiceView
from keiji_engine.events import EventBus

Serve = Callable[[Callable[[], None]], Awaitable[None]]

FIRST_BACKOFF = 1.0  # seconds until the first restart of a failed service; doubled by each further failure
MAX_BACKOFF = 60.0
STABLE_AFTER = 60.0  # seconds online after which an earlier failure no longer counts

_LEVELS = {ServiceStatus.FAILED: logging.ERROR, ServiceStatus.DEGRADED: logging.ERROR}


class Service:
    """Runs ``serve(ready)`` as an asyncio task: it calls ``ready`` once it is up, and is cancelled to stop.

    A service whose task returns or raises has failed. Each change of status goes to the log ``keiji.<name>``.

    Args:
        on_change: called after each change of status.
    """

    def __init__(
        self,
        name: str,
        serve: Serve,
        on_change: Callable[[ServiceView], None],
        clock: Callable[[], datetime],
    ) -> None:
        self.name = name
        self._serve = serve
        self._on_change = on_change
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._is_up = asyncio.Event()
        self._transition = asyncio.Lock()
        self._log = logging.getLogger(f"keiji.{name}")
        self._problems: dict[str, Reason] = {}
        self.view = ServiceView(name=name, status=ServiceStatus.OFFLINE, since=clock())

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Start it unless it is running; return when it is up or has failed."""
        async with self._transition:
            if self.is_running:
                return
            self._is_up.clear()
            self._set_status(ServiceStatus.STARTING)
            self._task = asyncio.create_task(self._run(), name=f"service {self.name}")
            up = asyncio.create_task(self._is_up.wait())
            await asyncio.wait({self._task, up}, return_when=asyncio.FIRST_COMPLETED)
            up.cancel()

    async def stop(self) -> None:
        """Stop it; return when it has stopped."""
        async with self._transition:
            task, self._task = self._task, None
            if task is not None and not task.done():
                self._set_status(ServiceStatus.STOPPING)
                task.cancel()
                await asyncio.wait([task])
            self._set_status(ServiceStatus.OFFLINE)

    def set_problem(self, key: str, problem: Reason | None) -> None:
        """Report that a part of the service's work fails, or with None that it succeeds again.

        While there is a problem, the service is degraded instead of online.

        Args:
            key: identifies the part of the work.
        """
        if problem is not None:
            self._problems[key] = problem
        elif self._problems.pop(key, None) is None:
            return
        if self.view.is_up:
            self._set_status(ServiceStatus.ONLINE)

    async def _run(self) -> None:
        try:
            await self._serve(self._ready)
        except Exception as error:  # noqa: BLE001 - any error means that the service is down
            self._set_status(ServiceStatus.FAILED, _describe(error), error)
        else:
            self._set_status(ServiceStatus.FAILED, "it ended without an error")

    def _ready(self) -> None:
        self._set_status(ServiceStatus.ONLINE)
        self._is_up.set()

    def _set_status(self, status: ServiceStatus, detail: str = "", error: Exception | None = None) -> None:
        problem = next(iter(self._problems.values()), None) if status is ServiceStatus.ONLINE else None
        if problem is not None:
            status, detail = ServiceStatus.DEGRADED, "; ".join(map(render, self._problems.values()))
        if (status, detail) == (self.view.status, self.view.detail):
            return
        since = self.view.since if status is self.view.status else self._clock()
        self.view = ServiceView(name=self.name, status=status, since=since, detail=detail, reason=problem)
        level = _LEVELS.get(status, logging.INFO)
        traceback = None if isinstance(error, KeijiError) else error  # our own errors explain themselves
        self._log.log(level, "%s %s%s", self.name, status, f": {detail}" if detail else "", exc_info=traceback)
        self._on_change(self.view)


class ServiceSupervisor:
    """Starts and stops services, restarts those that fail, with backoff, and publishes each change of status.

    Args:
        services: name → its ``serve``, in the order in which they start; they stop in the opposite order.
    """

    def __init__(self, services: Mapping[str, Serve], events: EventBus, clock: Callable[[], datetime]) -> None:
        self._events = events
        self._services = {name: Service(name, serve, self._on_change, clock) for name, serve in services.items()}
        self._wanted: set[str] = set()  # services that are restarted if they fail
        self._restarts: dict[str, asyncio.Task[None]] = {}  # pending ones
        self._backoff: dict[str, float] = {}  # seconds until the next restart of a service that has failed
        self._online_since: dict[str, float] = {}  # by the clock of the event loop

    def views(self) -> tuple[ServiceView, ...]:
        return tuple(service.view for service in self._services.values())

    async def start_all(self, names: Collection[str] | None = None) -> None:
        """Start the services that are not running, or those of ``names``. One that fails is restarted later."""
        for name, service in self._services.items():
            if names is None or name in names:
                await self._start(service)

    async def stop_all(self) -> None:
        """Stop all services."""
        for name in reversed(self._services):
            await self.stop(name)

    async def start(self, name: str) -> None:
        """Start a service. Raises UsageError for an unknown name, KeijiError if it fails at once."""
        service = self._service(name)
        await self._start(service)
        if service.view.status is ServiceStatus.FAILED:
            raise KeijiError(
                f"{name} could not be started: {service.view.detail}",
                hint=f"keiji system logs --{name} shows more; the engine keeps trying to start it",
            )

    async def stop(self, name: str) -> None:
        """Stop a service. Raises UsageError for an unknown name."""
        service = self._service(name)
        self._wanted.discard(name)
        self._cancel_restart(name)
        self._backoff.pop(name, None)
        await service.stop()

    async def restart(self, name: str) -> None:
        """Stop a service and start it again. Raises as `start`."""
        await self.stop(name)
        await self.start(name)

    def set_problem(self, names: Collection[str], key: str, problem: Reason | None) -> None:
        """Report to some services that a part of their work fails, or succeeds again; see `Service.set_problem`."""
        for name in names:
            self._service(name).set_problem(key, problem)

    async def _start(self, service: Service) -> None:
        self._wanted.add(service.name)
        self._cancel_restart(service.name)
        await service.start()

    def _service(self, name: str) -> Service:
        if name not in self._services:
            raise UsageError(f"there is no service {name!r}; the services are {', '.join(self._services)}")
        return self._services[name]

    def _on_change(self, view: ServiceView) -> None:
        now = asyncio.get_running_loop().time()
        online_since = self._online_since.pop(view.name, now)
        if view.is_up:
            self._online_since[view.name] = online_since
        elif view.status is ServiceStatus.FAILED and view.name in self._wanted:
            if now - online_since >= STABLE_AFTER:
                self._backoff.pop(view.name, None)
            self._schedule_restart(view.name)
        self._events.publish(p.ServiceChanged(service=view))

    def _schedule_restart(self, name: str) -> None:
        delay = self._backoff.get(name, FIRST_BACKOFF)
        self._backoff[name] = min(2 * delay, MAX_BACKOFF)
        logging.getLogger(f"keiji.{name}").warning("%s restarts in %s", name, format_duration(delay))
        self._restarts[name] = asyncio.create_task(self._restart_after(delay, name), name=f"restart {name}")

    async def _restart_after(self, delay: float, name: str) -> None:
        await asyncio.sleep(delay)
        del self._restarts[name]  # from here on, it is the service that has to be stopped
        await self._services[name].start()

    def _cancel_restart(self, name: str) -> None:
        if (restart := self._restarts.pop(name, None)) is not None:
            restart.cancel()


def _describe(error: BaseException) -> str:
    """Return the message of an error, or of the first error of a group, with its type unless it is ours."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, KeijiError):
        return error.message
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
