"""Facade for clients that work with or without a running engine.

With an engine, a request goes over the bus. Without one, this process calls the same handlers itself; for a directive,
it holds the command lock, so that no engine can start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from keiji import engine_process, private
from keiji.errors import EngineOffline, EngineRunning, InvalidSettings
from keiji.paths import Paths
from keiji_engine.bus import protocol as p
from keiji_engine.bus.security import own_peer, sudo_user

_QUERY_TIMEOUT = 5.0  # seconds
_REQUIRES_ENGINE = (p.Ping, p.GetSnapshot, p.StartService, p.StopService, p.RestartService, p.Shutdown)


def ask(
    paths: Paths,
    request: p.Request[p.R],
    *,
    sender: str = "keiji",
    timeout: float = 120.0,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> p.R:
    """Process a request and return its reply, whose type the request declares.

    Args:
        sender: the name of the client program, for the ledger.
        timeout: seconds to wait for the reply of a running engine; at most 5 for a query.
        clock: returns the current time in UTC; used if no engine is running.

    Raises:
        EngineOffline: the request needs a running engine, and there is none.
        KeijiError: the request was refused or failed; the subclass identifies the error.
    """
    request = msgspec.structs.replace(request, sender=sender, sudo_user=request.sudo_user or sudo_user())
    return p.check_reply(request, _process(paths, request, sender, timeout, clock))


def _process(
    paths: Paths, request: p.Request[p.Reply], sender: str, timeout: float, clock: Callable[[], datetime]
) -> p.Reply:
    while True:
        if engine_process.is_running(paths):
            # If the engine exits before it answers, the request is repeated; the ledger prevents a second effect.
            with contextlib.suppress(EngineOffline):
                return asyncio.run(_over_bus(paths, request, sender, timeout))
        engine_process.require_free_workspace(paths)
        if isinstance(request, _REQUIRES_ENGINE):
            raise EngineOffline.required()
        if not isinstance(request, p.Directive):  # a query needs no lock
            return _run_in_process(paths, request, clock)
        try:
            with engine_process.hold_command_lock(paths):
                return _run_in_process(paths, request, clock)
        except EngineRunning:
            if not engine_process.is_running(paths):
                raise


async def _over_bus(paths: Paths, request: p.Request[p.Reply], sender: str, timeout: float) -> p.Reply:
    from keiji_engine.bus.client import Client

    async with Client(paths, sender) as client:
        if isinstance(request, p.Directive):
            return await client.execute(request, timeout=timeout)
        return await client.ask(request, timeout=min(timeout, _QUERY_TIMEOUT))


def _run_in_process(paths: Paths, request: p.Request[p.Reply], clock: Callable[[], datetime]) -> p.Reply:
    with private.private_umask():
        return asyncio.run(_in_process(paths, request, clock))


async def _in_process(paths: Paths, request: p.Request[p.Reply], clock: Callable[[], datetime]) -> p.Reply:
    from keiji import settings as settings_file
    from keiji_engine.builds.workspace_file import read_defaults
    from keiji_engine.events import EventBus
    from keiji_engine.handlers.context import Context
    from keiji_engine.handlers.dispatch import Dispatcher
    from keiji_engine.handlers.rename import recover as recover_rename
    from keiji_engine.logs.service_log import LogfmtHandler, log_synchronously
    from keiji_engine.state import EngineState
    from keiji_engine.storage.async_store import AsyncStore

    settings = settings_file.load(paths.settings)
    paths.create_folders()
    store = AsyncStore()
    await store.open(settings, paths)
    state = EngineState(paths, store, EventBus())
    try:
        with contextlib.ExitStack() as stack:
            if not isinstance(request, p.Directive):
                stack.enter_context(contextlib.suppress(InvalidSettings))  # a query does not need it
            state.defaults = read_defaults(paths.workspace)
        if isinstance(request, p.Directive):  # a query holds no lock, so that another command may be at work
            await recover_rename(paths, store.read)
        await state.load()
        context = Context(paths, lambda: settings, state, clock)
        with log_synchronously(LogfmtHandler(paths, lambda: settings)):
            return await Dispatcher(context, publish=lambda _: None).perform(request, own_peer())
    finally:
        await state.close()
        await store.close()
