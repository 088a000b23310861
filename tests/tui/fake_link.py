"""A link that tells what a test has written, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from keiji.errors import EngineOffline, KeijiError
from keiji.records import Run
from keiji_engine.bus.protocol import AnyEvent, Delta, Directive, Done, LogChunk, Snapshot, UpcomingInstants
from keiji_engine.bus.reasons import Reason
from keiji_engine.bus.views import LinkChanged, LinkState, Upcoming
from keiji_tui.link.link import LogPart, Update


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
        self.seq = 0
        self.boot = "boot-1"
        self.sent: list[Directive] = []
        self.followed: list[str] = []
        self.starts = 0
        self.answer: Callable[[Directive], KeijiError | None] = lambda directive: None
        self.hold = asyncio.Event()
        self.hold.set()
        self.lines: tuple[str, ...] = ()
        self.history: tuple[Run, ...] = ()
        self.reasons: tuple[Reason, ...] = ()
        self.instants: tuple[Upcoming, ...] = ()
        self.zone = "Africa/Nairobi"
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

    async def runs(self, task: str, limit: int) -> tuple[Run, ...]:
        return self.history[:limit]

    async def explain(self, task: str) -> tuple[Reason, ...]:
        if self.is_offline:
            raise EngineOffline
        return self.reasons

    async def upcoming(self, task: str, count: int) -> UpcomingInstants:
        if self.is_offline:
            raise EngineOffline
        return UpcomingInstants(id="upcoming", task=task, zone=self.zone, instants=self.instants[:count])

    async def start_engine(self) -> None:
        self.starts += 1

    async def close(self) -> None:
        self.is_closed = True
