"""The link over the bus. The sockets are imported on first use, so that the first screen is painted earlier."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from keiji import engine_process, workspace
from keiji.errors import KeijiError
from keiji.paths import Paths
from keiji.reasons import Reason
from keiji.records import Run
from keiji_engine.bus.protocol import (
    ActiveBuild,
    BackfillPlan,
    Difference,
    Directive,
    Done,
    Explain,
    GetBackfills,
    GetBuild,
    GetDifference,
    GetDirectives,
    GetRuns,
    GetTimeline,
    GetUpcoming,
    LogSlice,
    PlanBackfill,
    R,
    ReadLog,
    Request,
    Timeline,
    Upcoming,
)
from keiji_engine.bus.views import BackfillView, DirectiveView
from keiji_tui.engine.link import LogLink, LogPart
from keiji_tui.engine.service_logs import ServiceLogs
from keiji_tui.state.store import Update

if TYPE_CHECKING:
    from keiji_engine.bus.client import Client

SENDER = "keiji-tui"
_LAST_LINES = 1000  # of a log that is opened; earlier ones are read on demand


class BusLink:
    """The connection to an engine on this machine."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self.service_logs: LogLink = ServiceLogs(paths.service_log)
        self._client: Client | None = None

    async def _connect(self) -> Client:
        if self._client is None:
            from keiji_engine.bus.client import Client

            client = self._client = Client(self._paths, SENDER)
            await client.__aenter__()
        return self._client

    async def updates(self) -> AsyncIterator[Update]:
        client = await self._connect()
        async for update in client.watch():
            yield update

    async def send(self, directive: Directive) -> Done:
        client = await self._connect()
        return await client.execute(directive)

    async def follow(self, task: str) -> AsyncIterator[LogPart]:
        client = await self._connect()
        async for part in client.follow(task):
            yield part

    async def read(self, task: str, position: int | None, limit: int) -> LogSlice:
        request = ReadLog(task=task, position=position, lines=_LAST_LINES, limit=limit, sender=SENDER)
        return await self._ask(request)

    def log_path(self, task: str) -> Path:
        return self._paths.task_log(task)

    async def runs(self, task: str, limit: int) -> tuple[Run, ...]:
        return (await self._ask(GetRuns(task=task, limit=limit, sender=SENDER))).runs

    async def explain(self, task: str) -> tuple[Reason, ...]:
        return (await self._ask(Explain(task=task, sender=SENDER))).reasons

    async def upcoming(self, task: str, count: int) -> Upcoming:
        return await self._ask(GetUpcoming(task=task, count=count, sender=SENDER))

    async def timeline(self) -> Timeline:
        return await self._ask(GetTimeline(sender=SENDER))

    async def backfills(self, limit: int) -> tuple[BackfillView, ...]:
        return (await self._ask(GetBackfills(limit=limit, sender=SENDER))).backfills

    async def plan_backfill(self, task: str, begin: str, end: str) -> BackfillPlan:
        return await self._ask(PlanBackfill(task=task, begin=begin, end=end, sender=SENDER))

    async def active_build(self, task: str) -> ActiveBuild:
        return await self._ask(GetBuild(task=task, sender=SENDER))

    async def difference(self, task: str) -> Difference:
        return await self._ask(GetDifference(task=task, sender=SENDER))

    async def directives(self, limit: int) -> tuple[DirectiveView, ...]:
        return (await self._ask(GetDirectives(limit=limit, sender=SENDER))).directives

    async def _ask(self, request: Request[R]) -> R:
        client = await self._connect()
        return await client.ask(request)

    async def check_workspace(self) -> KeijiError | None:
        return await asyncio.to_thread(self._check_workspace)

    def _check_workspace(self) -> KeijiError | None:
        try:
            workspace.validate(self._paths)
        except KeijiError as error:
            return error
        return None

    async def create_workspace(self) -> None:
        await asyncio.to_thread(workspace.create, self._paths)

    async def start_engine(self) -> None:
        await asyncio.to_thread(self._start_engine)

    def _start_engine(self) -> None:
        if engine_process.is_running(self._paths):
            engine_process.send_signal(self._paths, signal.SIGCONT)  # a suspended process handles no other signal
            engine_process.send_signal(self._paths, signal.SIGHUP)  # starts stopped services, including the bus
        else:
            engine_process.start(self._paths)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(None, None, None)
