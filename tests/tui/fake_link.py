"""A link that tells what a test has written, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from keiji.errors import EngineOffline, KeijiError
from keiji.reasons import Reason
from keiji.records import Run
from keiji.schedule import EPOCH
from keiji_engine.bus.protocol import (
    ActiveBuild,
    AnyEvent,
    BackfillPlan,
    Delta,
    Difference,
    Directive,
    Done,
    LogChunk,
    LogSlice,
    Snapshot,
    Timeline,
    Upcoming,
)
from keiji_engine.bus.views import BackfillView, DirectiveView, DueInstant, LinkChanged, LinkState
from keiji_tui.engine.link import LogLink, LogPart
from keiji_tui.engine.service_logs import ServiceLogs
from keiji_tui.state.store import Update


class FakeLink:
    """What the terminal sees of an engine that a test plays.

    Args:
        script: told at once; `tell` adds to it.
        logs: slug → what `follow` tells first.
    """

    def __init__(self, *script: Update, logs: dict[str, list[LogPart]] | None = None) -> None:
        self._updates: asyncio.Queue[Update] = asyncio.Queue()
        for update in script:
            self._updates.put_nowait(update)
        self._logs = logs or {}
        self._followers: dict[str, asyncio.Queue[LogPart]] = {}
        self.files: dict[str, bytes] = {}  # slug → the whole log, where it is more than what `follow` tells
        self.oldest: dict[str, int] = {}  # slug → the position before which nothing of it is kept any more
        self.reads: list[int | None] = []
        self.log_folder = Path("/nonexistent")
        self.service_logs: LogLink = ServiceLogs(lambda service: self.log_folder / f"{service}.log")
        self.seq = 0
        self.boot = "boot-1"
        self.sent: list[Directive] = []
        self.followed: list[str] = []
        self.starts = self.makes = 0
        self.workspace_error: KeijiError | None = None  # why no engine could work on the workspace
        self.make_error: KeijiError | None = None
        self.start_error: KeijiError | None = None
        self.answer: Callable[[Directive], KeijiError | None] = lambda directive: None
        self.hold = asyncio.Event()
        self.hold.set()
        self.lines: tuple[str, ...] = ()
        self.history: tuple[Run, ...] = ()
        self.reasons: tuple[Reason, ...] = ()
        self.instants: tuple[DueInstant, ...] = ()
        self.zone = "Africa/Nairobi"
        self.ledger: tuple[DirectiveView, ...] = ()
        self.differing: Difference | KeijiError = Difference(id="d", task="", build="3f9a2c1e00000000", files=())
        self.build = ActiveBuild(
            id="b", task="", hash="3f9a2c1e00000000", created_at=EPOCH, import_seconds=0.04, files=2
        )
        self.known_backfills: tuple[BackfillView, ...] = ()
        self.planned: list[tuple[str, str, str]] = []
        self.plan: BackfillPlan | KeijiError = BackfillPlan(id="p", task="", zone=self.zone, instants=())
        self.day = Timeline(id="a", until=EPOCH, instants=(), frequent_tasks=())
        self.is_offline = any(isinstance(u, LinkChanged) and u.state is LinkState.OFFLINE for u in script[-1:])
        self.is_closed = False

    # ── what a test plays ────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, *updates: Update) -> None:
        for update in updates:
            self._updates.put_nowait(update)

    def happen(self, *events: AnyEvent) -> None:
        for event in events:
            self.seq += 1
            self.tell(Delta(boot=self.boot, seq=self.seq, event=event))

    def die(self) -> None:
        self.is_offline = True
        self.tell(LinkChanged(LinkState.OFFLINE, "no engine is running"))

    def come_back(self, snapshot: Snapshot) -> None:
        self.is_offline, self.boot, self.seq = False, snapshot.boot, snapshot.seq
        self.tell(snapshot, LinkChanged(LinkState.LIVE))

    def print(self, part: LogChunk) -> None:
        self._logs.setdefault(part.task, []).append(part)
        if part.task in self._followers:
            self._followers[part.task].put_nowait(part)

    def keep(self, part: LogSlice) -> None:
        """Let this be the log of its task."""
        self._logs[part.task] = [part]

    # ── what the terminal asks ───────────────────────────────────────────────────────────────────────────────────────

    async def updates(self) -> AsyncIterator[Update]:
        while True:
            yield await self._updates.get()

    async def send(self, directive: Directive) -> Done:
        self.sent.append(directive)
        await self.hold.wait()
        if self.is_offline:
            raise EngineOffline(hint="keiji system start starts it")
        error = self.answer(directive)
        if error is not None:
            raise error
        return Done(id=directive.id, lines=self.lines)

    async def follow(self, task: str) -> AsyncIterator[LogPart]:
        self.followed.append(task)
        if self.is_offline:
            raise EngineOffline
        queue: asyncio.Queue[LogPart] = asyncio.Queue()
        for part in self._logs.get(task, []):
            queue.put_nowait(part)
        self._followers[task] = queue
        while True:
            yield await queue.get()

    async def read(self, task: str, position: int | None, limit: int) -> LogSlice:
        """Return what LogReader of the engine does: whole lines, unless one alone is longer than ``limit``."""
        self.reads.append(position)
        if self.is_offline:
            raise EngineOffline
        data = self.files.get(task) or self._told(task)
        oldest = self.oldest.get(task, 0)
        begin = max(0, len(data) - limit) if position is None else min(position, len(data))
        if position is None and begin > oldest:
            begin = data.find(b"\n", begin) + 1 or len(data)
        begin = max(begin, oldest)
        found = data[begin : begin + limit]
        found = found[: found.rfind(b"\n") + 1] or (found if len(found) == limit else b"")
        text = found.decode(errors="replace")
        return LogSlice(id="read", task=task, position=begin, end=begin + len(found), size=len(data), text=text)

    def _told(self, task: str) -> bytes:
        """Return the log that the parts which were told make up."""
        data = bytearray()
        for part in self._logs.get(task, []):
            if part.position == 0:
                data.clear()
            data[part.position :] = bytes(max(0, part.position - len(data))) + part.text.encode()
        return bytes(data)

    def log_path(self, task: str) -> Path:
        return self.log_folder / f"{task}.log"

    async def runs(self, task: str, limit: int) -> tuple[Run, ...]:
        return self.history[:limit]

    async def explain(self, task: str) -> tuple[Reason, ...]:
        if self.is_offline:
            raise EngineOffline
        return self.reasons

    async def upcoming(self, task: str, count: int) -> Upcoming:
        if self.is_offline:
            raise EngineOffline
        return Upcoming(id="upcoming", task=task, zone=self.zone, instants=self.instants[:count])

    async def timeline(self) -> Timeline:
        if self.is_offline:
            raise EngineOffline
        return self.day

    async def backfills(self, limit: int) -> tuple[BackfillView, ...]:
        if self.is_offline:
            raise EngineOffline
        return self.known_backfills[:limit]

    async def plan_backfill(self, task: str, begin: str, end: str) -> BackfillPlan:
        self.planned.append((task, begin, end))
        if isinstance(self.plan, KeijiError):
            raise self.plan
        return msgspec.structs.replace(self.plan, task=task)

    async def active_build(self, task: str) -> ActiveBuild:
        if self.is_offline:
            raise EngineOffline
        return msgspec.structs.replace(self.build, task=task)

    async def difference(self, task: str) -> Difference:
        if self.is_offline:
            raise EngineOffline
        if isinstance(self.differing, KeijiError):
            raise self.differing
        return msgspec.structs.replace(self.differing, task=task)

    async def directives(self, limit: int) -> tuple[DirectiveView, ...]:
        if self.is_offline:
            raise EngineOffline
        return self.ledger[:limit]

    async def check_workspace(self) -> KeijiError | None:
        return self.workspace_error

    async def create_workspace(self) -> None:
        self.makes += 1
        if self.make_error is not None:
            raise self.make_error
        self.workspace_error = None

    async def start_engine(self) -> None:
        self.starts += 1
        if self.start_error is not None:
            raise self.start_error

    async def close(self) -> None:
        self.is_closed = True
