"""Dispatches requests to their handlers, and records directives in the ledger.

A directive is in the ledger before it is carried out, and its reply before it is sent: the same id gets the same reply
again, also from the next engine. A directive that takes longer than `ACCEPT_AFTER` is answered ``accepted``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from keiji.errors import DeadlinePassed, KeijiError, StorageError
from keiji_engine.bus import protocol as p
from keiji_engine.bus.security import Peer
from keiji_engine.handlers import queries, services
from keiji_engine.handlers.apply import apply, plan_apply
from keiji_engine.handlers.backfill import backfill, get_backfills, plan_backfill, resume_backfill, stop_backfill
from keiji_engine.handlers.build import build
from keiji_engine.handlers.builds import get_builds, pin, roll_back, unpin
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.create import create
from keiji_engine.handlers.delete import delete
from keiji_engine.handlers.difference import get_build, get_difference
from keiji_engine.handlers.disable import disable
from keiji_engine.handlers.enable import enable
from keiji_engine.handlers.ledger import LOST, get_directives, lines_of
from keiji_engine.handlers.pause import pause_system, pause_task
from keiji_engine.handlers.rename import rename
from keiji_engine.handlers.repeated_queries import RepeatedQueries
from keiji_engine.handlers.rerun import rerun
from keiji_engine.handlers.resolve import resolve
from keiji_engine.handlers.restart import restart
from keiji_engine.handlers.resume import resume_system, resume_task
from keiji_engine.handlers.run import run
from keiji_engine.handlers.stop import stop
from keiji_engine.handlers.timeline import get_timeline
from keiji_engine.storage.store import OutcomeUnknown
from keiji_engine.storage.transactions import Transaction

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
    p.GetBuilds: get_builds,
    p.PlanApply: plan_apply,
    p.GetDirectives: get_directives,
    p.GetBackfills: get_backfills,
    p.PlanBackfill: plan_backfill,
    p.ReadLog: queries.read_log,
    p.Create: create,
    p.BuildTask: build,
    p.RollBack: roll_back,
    p.PinBuild: pin,
    p.UnpinBuild: unpin,
    p.Apply: apply,
    p.RunTask: run,
    p.RerunTask: rerun,
    p.BackfillTask: backfill,
    p.StopBackfill: stop_backfill,
    p.ResumeBackfill: resume_backfill,
    p.StopRun: stop,
    p.Restart: restart,
    p.Enable: enable,
    p.Disable: disable,
    p.Resolve: resolve,
    p.PauseTask: pause_task,
    p.ResumeTask: resume_task,
    p.PauseSystem: pause_system,
    p.ResumeSystem: resume_system,
    p.RenameTask: rename,
    p.Delete: delete,
    p.StartService: services.start_service,
    p.StopService: services.stop_service,
    p.RestartService: services.restart_service,
    p.Shutdown: services.shutdown,
}

RETRY_INTERVAL = 1.0  # seconds between attempts to record a reply
ACCEPT_AFTER = 0.25  # seconds until a directive is answered "accepted"
MAX_WAIT = 5.0  # seconds that a GetDirective may wait
FLUSH_LIMIT = 0.2  # seconds that a reply waits for the log lines of its directive

_log = logging.getLogger("keiji.bus")
_repo_log = logging.getLogger("keiji.repo")


class Dispatcher:
    """Carries out requests.

    Args:
        publish: gets the stages of directives.
        flush_logs: writes what was logged so far, for at most the given seconds.
    """

    def __init__(
        self,
        context: Context,
        publish: Callable[[p.DirectiveChanged], None],
        flush_logs: Callable[[float], object] | None = None,
    ) -> None:
        self._context = context
        self._publish = publish
        self._flush_logs = flush_logs
        self._in_progress: dict[str, asyncio.Task[p.AnyReply]] = {}
        self._queries = RepeatedQueries()

    async def answer(self, request: p.Request[p.Reply], peer: Peer) -> p.AnyReply:
        """Return the reply; for a slow directive, that it is accepted. Raises KeijiError for a query.

        Args:
            peer: whose process sent the request.
        """
        if isinstance(request, p.GetDirective):
            return await self._outcome(request.directive, request.id, min(max(request.wait, 0.0), MAX_WAIT))
        if not isinstance(request, p.Directive):
            handle = partial(HANDLERS[type(request)], self._context, request)
            return await self._queries.answer(msgspec.structs.replace(request, deadline=None), handle)
        if request.id not in self._in_progress:
            refusal = await self._begin(request, peer)
            if refusal is not None:
                return refusal
        return await self._outcome(request.id, request.id, ACCEPT_AFTER)

    async def perform(self, request: p.Request[p.Reply], peer: Peer) -> p.AnyReply:
        """Return the final reply, however long it takes."""
        reply = await self.answer(request, peer)
        while isinstance(reply, p.Accepted):
            reply = await self._outcome(request.id, request.id, MAX_WAIT)
        return reply

    async def _begin(self, directive: p.Directive, peer: Peer) -> p.AnyReply | None:
        """Begin to carry out a directive, unless it is too late for that; return the refusal then."""
        if directive.is_expired:
            return p.Refused.from_error(directive.id, DeadlinePassed())
        # Registered before the first await: the same id may arrive again in the meantime.
        recorded = asyncio.ensure_future(self._record(directive, peer))
        task = asyncio.create_task(self._carry_out(directive, recorded), name=f"{directive.verb} {directive.target}")
        self._in_progress[directive.id] = task
        task.add_done_callback(lambda _: self._in_progress.pop(directive.id, None))
        await asyncio.wait([recorded])
        return None

    async def _record(self, directive: p.Directive, peer: Peer) -> bytes | None:
        """Enter a directive into the ledger; return its stored reply if it is there already."""
        received_at = self._context.clock()
        is_uncertain = False  # whether it may be in the ledger because of an earlier attempt
        while True:
            try:
                # A power failure may undo this, but only with all that followed, and no client survives it.
                insert = partial(_insert, directive, peer, received_at)
                changes = await self._context.state.apply(insert, flush=False)
            except StorageError as error:
                if not is_uncertain and not isinstance(error, OutcomeUnknown):
                    raise
                is_uncertain = True
                _repo_log.error("%s %s: %s; trying again", directive.verb, directive.target, error.message)
                await asyncio.sleep(RETRY_INTERVAL)
            else:
                known = changes.directives.get(directive.id)
                is_new = known is None or (is_uncertain and known.received_at == received_at)
                return None if is_new or known is None else known.reply

    async def _carry_out(self, directive: p.Directive, recorded: asyncio.Future[bytes | None]) -> p.AnyReply:
        stored = await recorded
        if stored is not None:
            return _stored(directive.id, stored)
        self._publish_stage(directive, "accepted", ())
        try:
            reply = await HANDLERS[type(directive)](self._context, directive)
        except KeijiError as error:
            reply = p.Refused.from_error(directive.id, error)
        except Exception as error:  # noqa: BLE001 - logged, and reported to the client
            _log.exception("%s %s failed", directive.verb, directive.target)
            reply = p.Refused(id=directive.id, code="failed", message=f"internal error: {error!r}")
        stage = "done" if isinstance(reply, p.Done) else "refused"
        await self._complete(directive, stage, reply)
        self._publish_stage(directive, stage, lines_of(reply))
        # A client that reads a log after the reply finds the lines of its directive there.
        if self._flush_logs is not None:
            await asyncio.to_thread(self._flush_logs, FLUSH_LIMIT)
        return reply

    async def _complete(self, directive: p.Directive, stage: str, reply: p.AnyReply) -> None:
        """Record the reply, as soon as the database accepts it: a later engine must give the same one."""
        body = p.encode(reply)[1]
        while True:
            try:
                await self._context.state.apply(partial(_complete, directive.id, stage, body, self._context.clock()))
            except StorageError as error:
                _repo_log.error("%s %s: %s; trying again", directive.verb, directive.target, error.message)
                await asyncio.sleep(RETRY_INTERVAL)
            else:
                return

    def _publish_stage(self, directive: p.Directive, stage: str, lines: tuple[str, ...]) -> None:
        self._publish(
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

    async def _outcome(self, directive_id: str, reply_to: str, wait: float) -> p.AnyReply:
        """Return the reply of a directive, waiting for it for at most ``wait`` seconds."""
        task = self._in_progress.get(directive_id)
        if task is None:
            stored = await self._context.state.read(lambda transaction: transaction.directives.get(directive_id))
            if stored is None:
                return p.Refused(id=reply_to, code="failed", message=f"there is no directive {directive_id!r}")
            return _addressed_to(reply_to, _stored(directive_id, stored.reply))
        done, _ = await asyncio.wait([task], timeout=wait)
        if not done:
            return p.Accepted(id=reply_to, message="in progress")
        return _addressed_to(reply_to, task.result())


def _insert(directive: p.Directive, peer: Peer, received_at: datetime, transaction: Transaction) -> None:
    transaction.directives.insert(
        directive.id,
        directive.verb,
        directive.target,
        directive.sender,
        received_at,
        user=peer.user,
        sudo_user=directive.sudo_user,
        options=directive.options,
    )


def _complete(directive_id: str, stage: str, reply: bytes, at: datetime, transaction: Transaction) -> None:
    transaction.directives.complete(directive_id, stage, reply, at)


def _stored(directive_id: str, reply: bytes) -> p.AnyReply:
    if reply:
        return p.decode_reply([p.VERSION, reply])
    return p.Refused(
        id=directive_id,
        code="failed",
        message=LOST[0],
        hint=LOST[1],
    )


def _addressed_to(request_id: str, reply: p.AnyReply) -> p.AnyReply:
    return reply if reply.id == request_id else msgspec.structs.replace(reply, id=request_id)
