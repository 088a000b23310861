"""The link over the bus. Sockets are loaded on first use, so that the first screen is painted before."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from keiji import daemon
from keiji.errors import ProtocolError
from keiji.paths import Paths
from keiji.records import Run
from keiji_engine.bus.protocol import Directive, Done, GetRuns, Runs
from keiji_tui.link.link import LogPart, Update

if TYPE_CHECKING:
    from keiji_engine.bus.client import Client

SENDER = "keiji-tui"


class BusLink:
    """An engine of this machine, by its sockets."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._client: Client | None = None

    async def _joined(self) -> Client:
        if self._client is None:
            from keiji_engine.bus.client import Client

            client = self._client = Client(self._paths, SENDER)
            await client.__aenter__()
        return self._client

    async def updates(self) -> AsyncIterator[Update]:
        client = await self._joined()
        async for update in client.watch():
            yield update

    async def send(self, directive: Directive) -> Done:
        client = await self._joined()
        return await client.settle(directive)

    async def follow(self, task: str) -> AsyncIterator[LogPart]:
        client = await self._joined()
        async for part in client.follow(task):
            yield part

    async def runs(self, task: str, limit: int) -> tuple[Run, ...]:
        client = await self._joined()
        reply = await client.ask(GetRuns(task=task, limit=limit, sender=SENDER))
        if not isinstance(reply, Runs):
            raise ProtocolError(f"the engine answered a question about runs with {type(reply).__name__}")
        return reply.runs

    async def start_engine(self) -> None:
        await asyncio.to_thread(self._start_engine)

    def _start_engine(self) -> None:
        if daemon.is_running(self._paths):
            daemon.send(self._paths, signal.SIGHUP)  # starts what is stopped, the bus included
        else:
            daemon.start(self._paths)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(None, None, None)
