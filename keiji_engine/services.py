"""A part of the engine that can be started, stopped and restarted alone, with a status that everybody sees."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime

from keiji_engine.bus.views import ServiceStatus, ServiceView

Serve = Callable[[Callable[[], None]], Awaitable[None]]


class Service:
    """Runs ``serve(ready)`` as a task of its own: ``ready`` is called once it is up, cancelling it stops it.

    A service whose task ends by itself or raises has failed, and says why.

    Args:
        serve: what the service does, until it is cancelled.
        changed: told after each change of status.
    """

    def __init__(
        self,
        name: str,
        serve: Serve,
        changed: Callable[[ServiceView], None],
        clock: Callable[[], datetime],
    ) -> None:
        self.name = name
        self._serve = serve
        self._changed = changed
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._changing = asyncio.Lock()
        self.view = ServiceView(name=name, status=ServiceStatus.OFFLINE, since=clock())

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Start it, and return when it is up or has failed; does nothing to one that runs."""
        async with self._changing:
            if self.is_running:
                return
            self._up.clear()
            self._move(ServiceStatus.STARTING)
            self._task = asyncio.create_task(self._guarded(), name=f"service {self.name}")
            up = asyncio.create_task(self._up.wait())
            await asyncio.wait({self._task, up}, return_when=asyncio.FIRST_COMPLETED)
            up.cancel()

    async def stop(self) -> None:
        """Stop it, and return when it has."""
        async with self._changing:
            task, self._task = self._task, None
            if task is not None and not task.done():
                self._move(ServiceStatus.STOPPING)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            self._move(ServiceStatus.OFFLINE)

    async def _guarded(self) -> None:
        try:
            await self._serve(self._ready)
            self._move(ServiceStatus.FAILED, "it ended by itself")
        except Exception as error:  # noqa: BLE001 - whatever it was, the service is down and has to say so
            self._move(ServiceStatus.FAILED, _described(error))

    def _ready(self) -> None:
        self._move(ServiceStatus.ONLINE)
        self._up.set()

    def _move(self, status: ServiceStatus, detail: str = "") -> None:
        if (status, detail) != (self.view.status, self.view.detail):
            self.view = ServiceView(name=self.name, status=status, since=self._clock(), detail=detail)
            self._changed(self.view)


def _described(error: BaseException) -> str:
    """Return an error in a line; the first cause of a group rather than the group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
