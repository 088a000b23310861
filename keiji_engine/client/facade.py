"""The one door for programs that do not care whether an engine runs.

With an engine, a request goes over the bus. Without one, this process takes the engine's lock for a moment and works at
the same desk, by the same handlers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from keiji import engine_process
from keiji.errors import EngineOffline, EngineRunning
from keiji.paths import Paths
from keiji_engine.bus import protocol as p

_QUERY_LIMIT = 5.0  # seconds
_NEEDS_ENGINE = (p.Ping, p.GetSnapshot, p.StartService, p.StopService, p.RestartService, p.Shutdown)


def ask(
    paths: Paths,
    request: p.AnyRequest,
    *,
    sender: str = "keiji",
    limit: float = 120.0,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> p.AnyReply:
    """Have a request carried out, and return the final reply.

    Args:
        limit: seconds to wait for a running engine; for the answer to a question five at most.
        clock: returns the current time in UTC; used where no engine runs.

    Raises:
        EngineOffline: it needs a running engine, and there is none.
        KeijiError: it was refused or failed; the subclass says how.
    """
    request = msgspec.structs.replace(request, sender=sender)
    while True:
        if engine_process.is_running(paths):
            # Should it end meanwhile, the ledger keeps the request from acting twice.
            with contextlib.suppress(EngineOffline):
                return asyncio.run(_over_the_bus(paths, request, sender, limit))
        if isinstance(request, _NEEDS_ENGINE):
            raise EngineOffline("the engine is not running, and this needs it", hint="keiji system start starts it")
        if not isinstance(request, p.Directive):  # reading disturbs nobody
            return asyncio.run(_at_the_desk(paths, request, clock))
        try:
            with engine_process.hold_lock(paths, engine_process.COMMAND):
                return asyncio.run(_at_the_desk(paths, request, clock))
        except EngineRunning:
            if not engine_process.is_running(paths):
                raise


async def _over_the_bus(paths: Paths, request: p.AnyRequest, sender: str, limit: float) -> p.AnyReply:
    from keiji_engine.bus.client import Client

    async with Client(paths, sender) as client:
        if isinstance(request, p.Directive):
            return await client.settle(request, limit=limit)
        return await client.ask(request, limit=min(limit, _QUERY_LIMIT))


async def _at_the_desk(paths: Paths, request: p.AnyRequest, clock: Callable[[], datetime]) -> p.AnyReply:
    from keiji import settings as settings_file
    from keiji_engine.handlers.context import Context
    from keiji_engine.handlers.dispatch import Dispatcher
    from keiji_engine.logs.service_log import Journal
    from keiji_engine.state import EngineState
    from keiji_engine.storage.async_store import AsyncStore

    settings = settings_file.load(paths.settings)
    paths.make()
    ledger = AsyncStore()
    await ledger.open(settings, paths)
    try:
        board = EngineState(paths, tell=lambda _: None)
        await board.load(ledger)
        journal = Journal(paths, lambda: settings, clock)
        dispatcher = Dispatcher(Context(paths, lambda: settings, ledger, board, journal, clock), tell=lambda _: None)
        reply = await dispatcher.perform(request)
    finally:
        await ledger.close()
    if isinstance(reply, p.Refused):
        raise reply.error()
    return reply
