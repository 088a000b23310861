"""The client side of the bus, used by the command line and the terminal.

A request whose reply is lost is sent again under the same id. To follow the engine's state without a gap, a client
subscribes, waits until the subscriptions are in force, takes a snapshot, and applies the deltas that follow it. The
engine's lock shows whether it is running, so that a dead engine is detected without a timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import zmq
import zmq.asyncio

from keiji import engine_process
from keiji.errors import EngineOffline, EngineUnreachable, KeijiError, ProtocolError, ServiceOffline
from keiji.formats import format_duration
from keiji.paths import Paths
from keiji_engine.bus import protocol as p
from keiji_engine.bus.security import sudo_user
from keiji_engine.bus.views import LinkChanged, LinkState

_REPLY_TIMEOUT = 5.0  # seconds
_RESEND_INTERVAL = 1.0  # seconds without a reply
_POLL_INTERVAL = 0.2  # seconds between checks whether the engine is running
_RESTORE_TIMEOUT = 1.5  # seconds within which a working engine has created deleted sockets again
_MAX_BACKFILL = 1024 * 1024  # bytes of a log to read back to fill a gap; a larger gap is skipped


Update = p.Snapshot | p.Delta | p.Heartbeat | LinkChanged


class Client:
    """An asynchronous client of one engine; use it in ``async with``.

    Args:
        paths: the paths of the engine's workspace.
        sender: the name of the client program, for the ledger, such as "keiji-tui".
        stale_after: seconds without a message after which `watch` reports the engine as stale.
        offline_after: seconds without a message after which `watch` reports the engine as offline.
    """

    def __init__(
        self, paths: Paths, sender: str, *, stale_after: float = p.STALE_SECONDS, offline_after: float = p.DEAD_SECONDS
    ) -> None:
        self._paths = paths
        self._sender = sender
        self._stale_after = stale_after
        self._offline_after = offline_after
        self._sudo_user = sudo_user()
        self._runtime = paths.runtime  # the folder of the sockets; a new engine may use another one
        self._unreachable_since: float | None = None
        self._context = zmq.asyncio.Context()
        self._control: zmq.asyncio.Socket | None = None
        self._reader: asyncio.Task[None] | None = None
        self._pending: dict[str, asyncio.Future[p.AnyReply]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disconnect()
        self._context.destroy(linger=0)

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, request: p.Request[p.R], *, timeout: float = _REPLY_TIMEOUT) -> p.R:
        """Send a request and return its reply, whose type the request declares.

        The reply to a directive that takes long is only `Accepted`: use `execute` to wait for its outcome.

        Args:
            timeout: seconds within which the engine must answer; it does not start a directive after that.

        Raises:
            EngineOffline: no engine is running, or it exited before it answered.
            EngineUnreachable: the engine is running, but its sockets are missing, or it did not answer in time.
            ServiceOffline: the engine is running without its bus.
            ProtocolError: the reply is not of the declared type.
            KeijiError: the engine refused the request.
        """
        return p.check_reply(request, await self._request(request, timeout))

    async def execute(self, directive: p.Directive, *, timeout: float = 120.0) -> p.Done:
        """Send a directive and wait up to ``timeout`` seconds until it is done. Raises as `ask` does."""
        deadline = time.monotonic() + timeout
        reply = await self._request(directive, _REPLY_TIMEOUT)
        while isinstance(reply, p.Accepted):
            if time.monotonic() > deadline:
                raise KeijiError(
                    f"{directive.verb} {directive.target}: not done after {format_duration(timeout)}",
                    hint="the engine is still working on it; keiji task get shows its state",
                )
            reply = await self._request(p.GetDirective(directive=directive.id, wait=2.0), _REPLY_TIMEOUT)
        return p.check_reply(directive, reply)

    async def _request(self, request: p.Request[p.Reply], timeout: float) -> p.AnyReply:
        self._check_engine()
        if isinstance(request, p.Directive) and request.deadline is None:
            request = msgspec.structs.replace(request, deadline=time.time() + timeout)
        request = msgspec.structs.replace(
            request, sender=request.sender or self._sender, sudo_user=request.sudo_user or self._sudo_user
        )
        reply: asyncio.Future[p.AnyReply] = asyncio.get_running_loop().create_future()
        self._pending[request.id] = reply
        try:
            return await self._send_until_answered(request, reply, time.monotonic() + timeout)
        finally:
            del self._pending[request.id]

    async def _send_until_answered(
        self, request: p.Request[p.Reply], reply: asyncio.Future[p.AnyReply], deadline: float
    ) -> p.AnyReply:
        frames = p.encode(request)
        resend_at = 0.0
        while True:
            now = time.monotonic()
            if now >= resend_at:
                await self._send(frames)
                resend_at = now + _RESEND_INTERVAL
            done, _ = await asyncio.wait([reply], timeout=max(0.0, min(_POLL_INTERVAL, deadline - now)))
            if done:
                return reply.result()
            self._check_engine()
            if time.monotonic() >= deadline:
                error = engine_process.find_unreachable(self._paths)
                pid = engine_process.find_pid(self._paths)
                raise error or EngineUnreachable.with_pid(pid, "it did not answer in time")

    def _check_engine(self) -> None:
        if not engine_process.is_running(self._paths):
            raise EngineOffline(hint="keiji system start starts it")
        if (self._runtime / self._paths.control_socket.name).exists():
            self._unreachable_since = None
            return
        info = engine_process.read_info(self._paths)
        if info is not None and any(s["name"] == "bus" and s["status"] != "online" for s in info.services):
            raise ServiceOffline(
                "the engine is running, but its bus is stopped", hint="keiji system start --bus starts it"
            )
        now = time.monotonic()
        if self._unreachable_since is None:
            self._unreachable_since = now
        elif now - self._unreachable_since > _RESTORE_TIMEOUT:
            error = engine_process.find_unreachable(self._paths)
            if error is not None and engine_process.is_ready(self._paths):
                raise error

    async def _send(self, frames: list[bytes]) -> None:
        await self._locate()
        if self._control is None:
            self._control = self._connect(zmq.DEALER, self._paths.control_socket)
            self._reader = asyncio.create_task(self._read_replies(self._control))
        # The empty delimiter frame that a REQ socket sends, too, so that the server receives only one form of request.
        await self._control.send_multipart([b"", *frames])

    async def _read_replies(self, control: zmq.asyncio.Socket) -> None:
        while True:
            frames = await control.recv_multipart()
            try:
                reply = p.decode_reply(frames[1:])
            except ProtocolError as error:
                reply = p.Refused.from_error("", error)
            pending = self._pending.get(reply.id)
            # A refusal without an id means that one side could not decode a message: it fails every pending request.
            for future in [pending] if pending else list(self._pending.values()) if not reply.id else []:
                if not future.done():
                    future.set_result(reply)

    async def _locate(self) -> bool:
        """Look up where the sockets are; return whether the engine uses another folder than before."""
        runtime = engine_process.locate(self._paths).runtime
        if runtime == self._runtime:
            return False
        self._runtime = runtime
        await self._disconnect()
        return True

    async def _disconnect(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        if self._control is not None:
            self._control.close(linger=0)
        self._control = self._reader = None

    def _connect(self, kind: int, path: Path) -> zmq.asyncio.Socket:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        socket.connect(f"ipc://{self._runtime / path.name}")
        return socket

    # ── state ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def watch(self) -> AsyncIterator[Update]:
        """Yield a snapshot and every delta that follows it, without end.

        A gap in the deltas or a new engine causes a new snapshot. `LinkChanged` reports that the engine is late
        (stale), gone (offline), or back (live, after a snapshot).
        """
        link = LinkChanged(LinkState.CONNECTING)
        yield link
        while True:
            if not engine_process.is_running(self._paths):
                offline = LinkChanged(LinkState.OFFLINE, "no engine is running")
                if link != offline:
                    link = offline
                    yield link
                await asyncio.sleep(_POLL_INTERVAL)
                continue
            await self._locate()
            state = self._connect(zmq.SUB, self._paths.state_socket)
            try:
                async for update in self._follow_state(state):
                    if isinstance(update, LinkChanged):
                        if update == link:
                            continue
                        link = update
                    yield update
            finally:
                state.close(linger=0)

    async def _follow_state(self, state: zmq.asyncio.Socket) -> AsyncIterator[Update]:
        """Subscribe and yield a snapshot and its deltas; return when a new snapshot is needed."""
        state.subscribe(p.TOPIC_EVENT)
        state.subscribe(p.TOPIC_HEARTBEAT)
        state.subscribe(p.TOPIC_SUBSCRIBED + uuid.uuid4().hex.encode())
        try:
            await _wait_until_subscribed(state)
            snapshot = await self.ask(p.GetSnapshot(), timeout=p.DEAD_SECONDS)
        except TimeoutError:
            reason = "the engine is running but its bus does not answer"
            yield LinkChanged(LinkState.OFFLINE, reason, engine_is_running=True)
            return
        except KeijiError as error:
            yield LinkChanged(LinkState.OFFLINE, error.message, engine_process.is_running(self._paths))
            await self._disconnect()
            return
        yield snapshot
        yield LinkChanged(LinkState.LIVE, engine_is_running=True)
        async for update in self._follow_deltas(state, snapshot.boot, snapshot.seq):
            yield update

    async def _follow_deltas(
        self, state: zmq.asyncio.Socket, boot: str, seq: int
    ) -> AsyncIterator[p.Delta | p.Heartbeat | LinkChanged]:
        """Yield the deltas after ``seq`` and the heartbeats; return at a gap, another ``boot``, or a dead engine."""
        last_message_at = time.monotonic()
        while True:
            try:
                message = await _receive(state, _POLL_INTERVAL)
            except TimeoutError:
                elapsed = time.monotonic() - last_message_at
                if not engine_process.is_running(self._paths) or await self._locate():
                    return
                if elapsed > self._offline_after:
                    reason = "the engine is running but does not answer"
                    yield LinkChanged(LinkState.OFFLINE, reason, engine_is_running=True)
                elif elapsed > self._stale_after:
                    yield LinkChanged(LinkState.STALE, "the engine is late", engine_is_running=True)
                continue
            if isinstance(message, p.Delta | p.Heartbeat):
                last_message_at = time.monotonic()
                if isinstance(message, p.Delta) and message.boot == boot and message.seq <= seq:
                    continue  # already part of the snapshot
                expected = seq + 1 if isinstance(message, p.Delta) else seq
                if message.boot != boot or message.seq > expected:
                    return
                seq = expected
                yield LinkChanged(LinkState.LIVE, engine_is_running=True)
                yield message

    # ── logs ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def follow(
        self, task: str, *, position: int | None = None, lines: int = 200
    ) -> AsyncIterator[p.LogSlice | p.LogChunk]:
        """Yield the last ``lines`` lines of a task's log (or all from ``position``), then new text as it is appended.

        Text that a full socket dropped is read back. A gap of more than a megabyte is skipped instead: then the next
        ``position`` is greater than the previous ``end``. Raises as `ask` does.
        """
        await self._locate()
        log = self._connect(zmq.SUB, self._paths.log_socket)
        try:
            log.subscribe(p.log_topic(task))
            first = await self.ask(p.ReadLog(task=task, position=position, lines=lines))
            yield first
            end = first.end
            async for log_slice in self._backfill(task, end, first.size):
                yield log_slice
                end = log_slice.end
            while True:
                chunk = await self._next_chunk(log)
                if chunk is None:
                    continue
                if chunk.restarted:
                    end = 0
                    yield chunk
                if end < chunk.position <= end + _MAX_BACKFILL:
                    async for log_slice in self._backfill(task, end, chunk.position):
                        yield log_slice
                        end = log_slice.end
                if chunk.end > end:
                    yield _drop_before(chunk, end)
                    end = chunk.end
        finally:
            log.close(linger=0)

    async def _next_chunk(self, log: zmq.asyncio.Socket) -> p.LogChunk | None:
        try:
            message = await _receive(log, 1.0)
        except TimeoutError:
            self._check_engine()
            return None
        return message if isinstance(message, p.LogChunk) else None

    async def _backfill(self, task: str, start: int, end: int) -> AsyncIterator[p.LogSlice]:
        """Yield the text of a log from ``start`` to ``end``; it may extend beyond ``end``."""
        while start < end:
            limit = min(p.MAX_LOG_SLICE_BYTES, end - start)
            log_slice = await self.ask(p.ReadLog(task=task, position=start, limit=limit))
            if log_slice.end <= start:
                return
            yield log_slice
            start = log_slice.end


def _drop_before(chunk: p.LogChunk, position: int) -> p.LogChunk:
    """Return a chunk without its text before ``position``, which has been read back already."""
    excess = position - chunk.position
    if excess <= 0:
        return chunk
    text = chunk.text.encode()[excess:].decode("utf-8", "replace")
    return msgspec.structs.replace(chunk, position=position, text=text)


async def _wait_until_subscribed(socket: zmq.asyncio.Socket) -> None:
    """Wait until the subscriptions of a SUB socket are in force. Raises TimeoutError if the server does not confirm."""
    deadline = time.monotonic() + p.DEAD_SECONDS
    while not isinstance(await _receive(socket, max(0.0, deadline - time.monotonic())), p.Subscribed):
        pass


async def _receive(socket: zmq.asyncio.Socket, timeout: float) -> p.AnyBroadcast | None:
    """Return the next message of a SUB socket, or None for a message that this version does not know.

    Raises:
        TimeoutError: no message arrived within ``timeout`` seconds.
    """
    # Polls rather than cancelling a receive, which can lose a message.
    if not await socket.poll(int(timeout * 1000)):
        raise TimeoutError
    frames = await socket.recv_multipart()
    try:
        return p.decode_broadcast(frames[1:])
    except ProtocolError:
        return None
