"""From a request to its handler, and a directive's way through the ledger.

A directive is in the ledger before it is carried out, and its reply is there before it is sent: the same id again gets
the same reply, also from the next engine. One that takes longer than a moment is answered ``accepted``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from keiji.errors import DeadlinePassed, KeijiError, StorageError
from keiji_engine.bus import protocol as p
from keiji_engine.bus.security import Peer
from keiji_engine.handlers import queries, services
from keiji_engine.handlers.build import build
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.create import create
from keiji_engine.handlers.delete import delete
from keiji_engine.handlers.difference import get_build, get_difference
from keiji_engine.handlers.disable import disable
from keiji_engine.handlers.enable import enable
from keiji_engine.handlers.ledger import LOST, get_directives, lines_of
from keiji_engine.handlers.pause import pause_system, pause_task
from keiji_engine.handlers.resolve import resolve
from keiji_engine.handlers.restart import restart
from keiji_engine.handlers.resume import resume_system, resume_task
from keiji_engine.handlers.run import run
from keiji_engine.handlers.stop import stop
from keiji_engine.handlers.timeline import get_timeline
from keiji_engine.storage.store import Store

Handler = Callable[[Context, Any], Awaitable[p.AnyReply]]

HANDLERS: dict[type[p.Request[p.Reply]], Handler] = {
    p.Ping: queries.ping,
    p.GetSnapshot: queries.get_snapshot,
    p.GetTasks: queries.get_tasks,
    p.GetRuns: queries.get_runs,
    p.GetUpcoming: queries.get_upcoming,
    p.GetTimeline: get_timeline,
    p.Explain: queries.explain,
    p.GetBuild: get_build,
    p.GetDifference: get_difference,
    p.GetDirectives: get_directives,
    p.ReadLog: queries.read_log,
    p.Create: create,
    p.BuildTask: build,
    p.RunTask: run,
    p.StopRun: stop,
    p.Restart: restart,
    p.Enable: enable,
    p.Disable: disable,
    p.Resolve: resolve,
    p.PauseTask: pause_task,
    p.ResumeTask: resume_task,
    p.PauseSystem: pause_system,
    p.ResumeSystem: resume_system,
    p.Delete: delete,
    p.StartService: services.start_service,
    p.StopService: services.stop_service,
    p.RestartService: services.restart_service,
    p.Shutdown: services.shutdown,
}

_AFTER_AN_ERROR = 1.0
A_MOMENT = 0.25  # seconds until a directive is answered "accepted"
LONGEST_LOOK = 5.0  # seconds that a GetDirective may wait


class Dispatcher:
    """Carries out requests at a desk; ``tell`` takes the stages of directives."""

    def __init__(self, desk: Context, tell: Callable[[p.DirectiveChanged], None]) -> None:
        self._desk = desk
        self._tell = tell
        self._under_way: dict[str, asyncio.Task[p.AnyReply]] = {}

    async def answer(self, request: p.Request[p.Reply], peer: Peer) -> p.AnyReply:
        """Return the reply, for a slow directive the one that it was accepted. Raises KeijiError for a query."""
        if isinstance(request, p.GetDirective):
            return await self._look(request.directive, request.id, min(max(request.wait, 0.0), LONGEST_LOOK))
        if not isinstance(request, p.Directive):
            return await HANDLERS[type(request)](self._desk, request)
        if request.id not in self._under_way:
            reply = await self._begin(request)
            if reply is not None:
                return reply
        return await self._look(request.id, request.id, A_MOMENT)

    async def perform(self, request: p.Request[p.Reply], peer: Peer) -> p.AnyReply:
        """Return the final reply, however long it takes."""
        reply = await self.answer(request, peer)
        while isinstance(reply, p.Accepted):
            reply = await self._look(request.id, request.id, LONGEST_LOOK)
        return reply

    async def _begin(self, directive: p.Directive) -> p.AnyReply | None:
        """Start carrying out a new directive; return the reply where that is not to be done (again)."""
        if directive.is_expired:
            return p.Refused.from_error(directive.id, DeadlinePassed())
        received = self._desk.clock()
        # Entered before the first await: the same id may arrive again meanwhile.
        known: asyncio.Future[bytes | None] = asyncio.ensure_future(
            self._desk.ledger.do(
                Store.remember,
                directive.id,
                directive.verb,
                directive.target,
                directive.sender,
                received,
                options=directive.options,
            )
        )
        task = asyncio.create_task(self._carry_out(directive, known), name=f"{directive.verb} {directive.target}")
        self._under_way[directive.id] = task
        task.add_done_callback(lambda _: self._under_way.pop(directive.id, None))
        await asyncio.wait([known])
        return None

    async def _carry_out(self, directive: p.Directive, known: asyncio.Future[bytes | None]) -> p.AnyReply:
        stored = await known
        if stored is not None:
            return _stored(directive.id, stored)
        self._stage(directive, "accepted", ())
        try:
            reply = await HANDLERS[type(directive)](self._desk, directive)
        except KeijiError as error:
            reply = p.Refused.from_error(directive.id, error)
        except Exception as error:  # noqa: BLE001 - told to whoever asked, and kept in the ledger
            self._desk.journal.service("bus", f"{directive.verb} {directive.target}: {error!r}", "ERROR")
            reply = p.Refused(id=directive.id, code="failed", message=f"internal error: {error!r}")
        stage = "done" if isinstance(reply, p.Done) else "refused"
        lines = lines_of(reply)
        await self._settle(directive, stage, reply)
        self._stage(directive, stage, lines)
        return reply

    async def _settle(self, directive: p.Directive, stage: str, reply: p.AnyReply) -> None:
        """Record the reply, however long that takes: told before, it could be told otherwise by the next engine."""
        while True:
            try:
                body = p.encode(reply)[1]
                return await self._desk.ledger.do(Store.settle, directive.id, stage, body, self._desk.clock())
            except StorageError as error:
                self._desk.journal.service("repo", f"{directive.verb} {directive.target}: {error.message}", "ERROR")
                await asyncio.sleep(_AFTER_AN_ERROR)

    def _stage(self, directive: p.Directive, stage: str, lines: tuple[str, ...]) -> None:
        self._tell(
            p.DirectiveChanged(
                directive=directive.id,
                verb=directive.verb,
                target=directive.target,
                sender=directive.sender,
                stage=stage,
                lines=lines,
                options=directive.options,
            )
        )

    async def _look(self, directive_id: str, reply_to: str, wait: float) -> p.AnyReply:
        """Return how a directive fared, waiting for its end for up to ``wait`` seconds."""
        task = self._under_way.get(directive_id)
        if task is None:
            stored = await self._desk.ledger.do(Store.directive, directive_id)
            if stored is None:
                return p.Refused(id=reply_to, code="failed", message=f"there is no directive {directive_id!r}")
            return _as_answer_to(reply_to, _stored(directive_id, stored.reply))
        done, _ = await asyncio.wait([task], timeout=wait)
        if not done:
            return p.Accepted(id=reply_to, message="being carried out")
        return _as_answer_to(reply_to, task.result())


def _stored(directive_id: str, reply: bytes) -> p.AnyReply:
    if reply:
        return p.decode_reply([p.VERSION, reply])
    return p.Refused(
        id=directive_id,
        code="failed",
        message=LOST[0],
        hint=LOST[1],
    )


def _as_answer_to(request_id: str, reply: p.AnyReply) -> p.AnyReply:
    return reply if reply.id == request_id else msgspec.structs.replace(reply, id=request_id)
