"""A program's side of the bus, the same for the command line and the terminal.

A lost reply is asked for again under the same id. A view of the engine's state is joined without a gap: subscribe,
wait until the subscription is in force, take the snapshot, then follow the deltas behind it. Whether an engine lives
is read off its lock, so that a dead one is noticed without waiting for anything.
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
from keiji.errors import EngineOffline, KeijiError, ProtocolError, ServiceOffline
from keiji.paths import Paths
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import LinkChanged, LinkState

_REPLY_LIMIT = 5.0  # seconds
_ASK_AGAIN = 1.0  # seconds without a reply
_LOOK = 0.2  # seconds between looks at whether the engine still lives
_READ_BACK = 1024 * 1024  # bytes of a log at most that are asked for to fill a gap; further behind skips


Update = p.Snapshot | p.Delta | p.Heartbeat | LinkChanged


class Client:
    """An asynchronous client of one engine; use it in ``async with``.

    Args:
        paths: of the workspace whose engine is meant.
        sender: who asks, for the ledger, such as "keiji-tui".
    """

    def __init__(self, paths: Paths, sender: str) -> None:
        self._paths = paths
        self._sender = sender
        self._context = zmq.asyncio.Context()
        self._control: zmq.asyncio.Socket | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[str, asyncio.Future[p.AnyReply]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._hang_up()
        self._context.destroy(linger=0)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, request: p.Request[p.R], *, limit: float = _REPLY_LIMIT) -> p.R:
        """Send a request and return its reply, whose type the request declares.

        A directive that takes longer than a moment is only accepted at first: use `settle` to wait for its end.

        Args:
            limit: seconds within which the engine must answer; it does not carry out a directive after that.

        Raises:
            EngineOffline: no engine is running, or it ended before it answered.
            ServiceOffline: the engine is running without its bus.
            ProtocolError: the reply is not of the declared type.
            KeijiError: the engine refused the request, or did not answer in time.
        """
        return p.check_reply(request, await self._request(request, limit))

    async def settle(self, directive: p.Directive, *, limit: float = 120.0) -> p.Done:
        """Send a directive and wait up to ``limit`` seconds until it has been carried out. Raises as `ask` does."""
        until = time.monotonic() + limit
        reply = await self._request(directive, _REPLY_LIMIT)
        while isinstance(reply, p.Accepted):
            if time.monotonic() > until:
                raise KeijiError(
                    f"{directive.verb} {directive.target}: not done after {limit:g} s",
                    hint="the engine is still working on it; keiji task get shows its state",
                )
            reply = await self._request(p.GetDirective(directive=directive.id, wait=2.0), _REPLY_LIMIT)
        return p.check_reply(directive, reply)

    async def _request(self, request: p.Request[p.Reply], limit: float) -> p.AnyReply:
        self._check_engine()
        if isinstance(request, p.Directive) and request.deadline is None:
            request = msgspec.structs.replace(request, deadline=time.time() + limit)
        request = msgspec.structs.replace(request, sender=request.sender or self._sender)
        reply: asyncio.Future[p.AnyReply] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = reply
        try:
            return await self._exchange(request, reply, time.monotonic() + limit)
        finally:
            del self._waiting[request.id]

    async def _exchange(
        self, request: p.Request[p.Reply], reply: asyncio.Future[p.AnyReply], until: float
    ) -> p.AnyReply:
        frames = p.encode(request)
        again = 0.0
        while True:
            now = time.monotonic()
            if now >= again:
                await self._send(frames)
                again = now + _ASK_AGAIN
            done, _ = await asyncio.wait([reply], timeout=max(0.0, min(_LOOK, until - now)))
            if done:
                return reply.result()
            self._check_engine()
            if time.monotonic() >= until:
                raise KeijiError(
                    "the engine runs but did not answer in time", hint="keiji system status shows how its services do"
                )

    def _check_engine(self) -> None:
        if not engine_process.is_running(self._paths):
            raise EngineOffline(hint="keiji system start starts it")
        if not self._paths.control.exists():
            note = engine_process.read_info(self._paths)
            if note is not None and any(s["name"] == "bus" and s["status"] != "online" for s in note.services):
                raise ServiceOffline("the engine runs, but its bus is stopped", hint="keiji system start --bus")

    async def _send(self, frames: list[bytes]) -> None:
        if self._control is None:
            self._control = self._socket(zmq.DEALER, self._paths.control)
            self._reading = asyncio.create_task(self._read(self._control))
        # The empty frame is what a REQ socket sends as well: one form of request for everybody.
        await self._control.send_multipart([b"", *frames])

    async def _read(self, control: zmq.asyncio.Socket) -> None:
        while True:
            frames = await control.recv_multipart()
            try:
                answer = p.decode_reply(frames[1:])
            except ProtocolError as error:
                answer = p.Refused.because("", error)
            waiting = self._waiting.get(answer.id)
            # A refusal without an id means that the engine could not read the request: it is for whoever asked.
            for future in [waiting] if waiting else list(self._waiting.values()) if not answer.id else []:
                if not future.done():
                    future.set_result(answer)

    async def _hang_up(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        if self._control is not None:
            self._control.close(linger=0)
        self._control = self._reading = None

    def _socket(self, kind: int, path: Path) -> zmq.asyncio.Socket:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        socket.connect(f"ipc://{path}")
        return socket

    # ── watching ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def watch(self) -> AsyncIterator[Update]:
        """Yield a snapshot, then every delta behind it, for ever; a new snapshot after each gap or new engine.

        `LinkChanged` tells when the engine is late (stale), gone (offline), or back (live, right behind a snapshot).
        """
        link = LinkChanged(LinkState.CONNECTING)
        yield link
        while True:
            if not engine_process.is_running(self._paths):
                offline = LinkChanged(LinkState.OFFLINE, "no engine is running")
                if link != offline:
                    link = offline
                    yield link
                await asyncio.sleep(_LOOK)
                continue
            state = self._socket(zmq.SUB, self._paths.state)
            try:
                async for update in self._join(state):
                    if isinstance(update, LinkChanged):
                        if update == link:
                            continue
                        link = update
                    yield update
            finally:
                state.close(linger=0)

    async def _join(self, state: zmq.asyncio.Socket) -> AsyncIterator[Update]:
        """Yield updates from one join; ends where a new one is needed."""
        state.subscribe(p.TOPIC_EVENT)
        state.subscribe(p.TOPIC_HEARTBEAT)
        state.subscribe(p.TOPIC_JOIN + uuid.uuid4().hex.encode())
        try:
            await _joined(state)
            snapshot = await self.ask(p.GetSnapshot(), limit=p.DEAD_SECONDS)
        except TimeoutError:
            yield LinkChanged(LinkState.OFFLINE, "the engine runs but its bus does not answer", engine_lives=True)
            return
        except KeijiError as error:
            yield LinkChanged(LinkState.OFFLINE, error.message, engine_process.is_running(self._paths))
            await self._hang_up()
            return
        yield snapshot
        yield LinkChanged(LinkState.LIVE, engine_lives=True)
        async for update in self._follow_state(state, snapshot.boot, snapshot.seq):
            yield update

    async def _follow_state(
        self, state: zmq.asyncio.Socket, boot: str, seq: int
    ) -> AsyncIterator[p.Delta | p.Heartbeat | LinkChanged]:
        heard = time.monotonic()
        while True:
            try:
                message = await _received(state, _LOOK)
            except TimeoutError:
                silent = time.monotonic() - heard
                if not engine_process.is_running(self._paths):
                    return
                if silent > p.DEAD_SECONDS:
                    yield LinkChanged(LinkState.OFFLINE, "the engine runs but does not answer", engine_lives=True)
                elif silent > p.STALE_SECONDS:
                    yield LinkChanged(LinkState.STALE, "the engine is late", engine_lives=True)
                continue
            if isinstance(message, p.Delta | p.Heartbeat):
                heard = time.monotonic()
                if isinstance(message, p.Delta) and message.boot == boot and message.seq <= seq:
                    continue
                expected = seq + 1 if isinstance(message, p.Delta) else seq
                if message.boot != boot or message.seq > expected:
                    return
                seq = expected
                yield LinkChanged(LinkState.LIVE, engine_lives=True)
                yield message

    # ── logs ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def follow(
        self, task: str, *, position: int | None = None, lines: int = 200
    ) -> AsyncIterator[p.LogSlice | p.LogChunk]:
        """Yield the last ``lines`` lines of a task's log (or all from ``position``), then what is appended.

        What a full socket dropped is read back. Where that would be over a megabyte, the next piece's ``position``
        lies behind the last one's ``end``: so many bytes were skipped. Raises as `ask` does.
        """
        log = self._socket(zmq.SUB, self._paths.log)
        try:
            log.subscribe(p.log_topic(task))
            first = await self.ask(p.ReadLog(task=task, position=position, lines=lines))
            yield first
            end = first.end
            async for piece in self._fill(task, end, first.size):
                yield piece
                end = piece.end
            while True:
                chunk = await self._next_chunk(log)
                if chunk is None:
                    continue
                if chunk.anew:
                    end = 0
                    yield chunk
                if end < chunk.position <= end + _READ_BACK:
                    async for piece in self._fill(task, end, chunk.position):
                        yield piece
                        end = piece.end
                if chunk.end > end:
                    yield _behind(chunk, end)
                    end = chunk.end
        finally:
            log.close(linger=0)

    async def _next_chunk(self, log: zmq.asyncio.Socket) -> p.LogChunk | None:
        try:
            message = await _received(log, 1.0)
        except TimeoutError:
            self._check_engine()
            return None
        return message if isinstance(message, p.LogChunk) else None

    async def _fill(self, task: str, begin: int, end: int) -> AsyncIterator[p.LogSlice]:
        while begin < end:
            piece = await self.ask(p.ReadLog(task=task, position=begin, limit=min(p.LARGEST_LOG_SLICE, end - begin)))
            if piece.end <= begin:
                return
            yield piece
            begin = piece.end


def _behind(chunk: p.LogChunk, end: int) -> p.LogChunk:
    """Return the part of a chunk that lies behind ``end``: what was read back may reach into it."""
    known = end - chunk.position
    if known <= 0:
        return chunk
    return msgspec.structs.replace(chunk, position=end, text=chunk.text.encode()[known:].decode("utf-8", "replace"))


async def _joined(socket: zmq.asyncio.Socket) -> None:
    """Wait until the subscriptions of a SUB socket are in force. Raises TimeoutError when nobody says so."""
    until = time.monotonic() + p.DEAD_SECONDS
    while not isinstance(await _received(socket, max(0.0, until - time.monotonic())), p.Joined):
        pass


async def _received(socket: zmq.asyncio.Socket, limit: float) -> p.AnyBroadcast | None:
    """Return the next message of a SUB socket; None for one that this version does not understand.

    Raises:
        TimeoutError: nothing came within ``limit`` seconds.
    """
    # Not a receive that is cancelled: that can take a message with it.
    if not await socket.poll(int(limit * 1000)):
        raise TimeoutError
    frames = await socket.recv_multipart()
    try:
        return p.decode_broadcast(frames[1:])
    except ProtocolError:
        return None
