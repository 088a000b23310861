"""The engine side of the bus: three sockets, which must survive anything that a client sends.

``control`` answers requests, ``state`` publishes events and heartbeats, and ``log`` publishes the output of runs to
clients that subscribe to it. Logs have a socket of their own because a flood on a shared one would delay heartbeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar, cast

from keiji.errors import KeijiError, ProtocolError
from keiji.paths import Paths
from keiji_engine.bus import protocol as p
from keiji_engine.bus.listener import Connection, Listener
from keiji_engine.bus.security import UNKNOWN_PEER, Peer, peer_of_uid
from keiji_engine.bus.zmtp import ROUTER, XPUB, Subscription

_LOG_INTERVAL = 0.05  # seconds; text appended within it is sent as one chunk
_LOG_INTERVAL_EACH = 0.005  # seconds per followed log: following many logs costs no more than following ten
_LOG_CHUNK = 32 * 1024  # bytes
_LOG_BACKLOG = 1024 * 1024  # bytes; a follower that is further behind skips to the tail
_LOG_THREADS = 4  # for reading logs, so that a disk that hangs delays nothing else
_MAX_CONCURRENT = 1024  # requests being answered; further ones wait
_MAX_CONNECTIONS = 512  # per socket

_logger = logging.getLogger("keiji.bus")

T = TypeVar("T")


class LogSource(Protocol):
    """Provides the text of task logs. ``size`` and ``read`` are called in threads."""

    def exists(self, task: str) -> bool:
        """Return whether a task with this slug exists; ``task`` may be any text that a client sent."""

    def size(self, task: str) -> int:
        """Return the position at which the log ends, in bytes."""

    def read(self, task: str, position: int, limit: int) -> tuple[int, int, str]:
        """Return start, end and text of a part of the log, from ``position`` or the oldest stored position after it."""


class BusServer:
    """Serves the sockets, numbers the events, and tracks which logs are followed.

    Args:
        boot: identifies this start of the engine.
        answer: carries out a request from a peer; requests are answered concurrently.
        logs: provides the text of task logs.
        heartbeat_interval: in seconds.
        max_connections: per socket; None for what the limit of descriptors allows.
    """

    def __init__(
        self,
        paths: Paths,
        boot: str,
        answer: Callable[[p.AnyRequest, Peer], Awaitable[p.AnyReply]],
        logs: LogSource,
        *,
        heartbeat_interval: float = p.HEARTBEAT_SECONDS,
        max_connections: int | None = None,
    ) -> None:
        self.boot = boot
        self.seq = 0
        self._answer = answer
        self._logs = logs
        self._heartbeat_interval = heartbeat_interval
        listen = partial(
            Listener,
            max_connections=_allowed_connections() if max_connections is None else max_connections,
            max_bytes=2 * p.MAX_REQUEST_BYTES,
        )
        self._control = listen(paths.control_socket, ROUTER, on_message=self._reply)
        self._state = listen(paths.state_socket, XPUB, on_subscription=self._confirm_subscription)
        self._log = listen(paths.log_socket, XPUB, on_subscription=self._track_follower)
        self._log_threads = ThreadPoolExecutor(_LOG_THREADS, "read logs")
        self._log_positions: dict[str, int] = {}  # of each followed log, the position up to which it has been sent
        self._followers: dict[str, asyncio.Task[None]] = {}  # one task per followed log
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)
        self._peers: dict[int | None, Peer] = {None: UNKNOWN_PEER}

    def publish(self, event: p.Event) -> None:
        """Send an event to all clients. It is numbered even while the service is stopped, so that clients see a gap."""
        self.seq += 1
        delta = p.Delta(boot=self.boot, seq=self.seq, event=cast(p.AnyEvent, event))
        self._state.publish(p.TOPIC_EVENT, p.encode(delta))

    async def serve(self, ready: Callable[[], None]) -> None:
        """Bind the sockets, call ``ready``, and serve until cancelled."""
        async with contextlib.AsyncExitStack() as stack:
            for listener in (self._control, self._state, self._log):
                await stack.enter_async_context(_bound(listener))
            stack.callback(self._stop_following)
            _logger.info("bus online at %s", self._control.path.parent)
            ready()
            await self._send_heartbeats()

    def is_in_place(self) -> bool:
        """Return whether clients find the files of the sockets, or the service is stopped. For use in a thread."""
        return all(listener.is_in_place() for listener in (self._control, self._state, self._log))

    async def restore(self, paths: Paths) -> None:
        """Create the files of the sockets again if they were deleted; clients stay connected. Raises OSError."""
        await self._control.restore(paths.control_socket)
        await self._state.restore(paths.state_socket)
        await self._log.restore(paths.log_socket)

    # ── control ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _reply(self, connection: Connection, message: list[bytes]) -> None:
        envelope = []
        if message[0] == b"":  # a REQ socket sends this delimiter and expects it in the reply
            envelope.append(message.pop(0))
        try:
            request = p.decode_request(message)
        except ProtocolError as error:
            if len(message) != 2:  # a client of this protocol sends two frames and waits for an answer
                _logger.debug("dropped a malformed request: %s", error.message)
                return
            reply: p.AnyReply = p.Refused.from_error("", error)
        else:
            async with self._slots:
                reply = await self._answer_safely(request, await self._peer(connection.uid))
        connection.send([*envelope, *p.encode(reply)])

    async def _peer(self, uid: int | None) -> Peer:
        if uid not in self._peers:
            self._peers[uid] = await asyncio.to_thread(peer_of_uid, cast(int, uid))
        return self._peers[uid]

    async def _answer_safely(self, request: p.AnyRequest, peer: Peer) -> p.AnyReply:
        try:
            return await self._answer(request, peer)
        except KeijiError as error:
            return p.Refused.from_error(request.id, error)
        except Exception as error:
            _logger.exception("internal error in %s", p.tag_of(type(request)))
            return p.Refused(id=request.id, code="failed", message=f"internal error: {error!r}")

    # ── state ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _confirm_subscription(self, _: Connection, subscription: Subscription) -> None:
        if subscription.is_active and subscription.topic.startswith(p.TOPIC_SUBSCRIBED):
            self._state.publish(subscription.topic, p.encode(p.Subscribed()))

    async def _send_heartbeats(self) -> None:
        loop_lag = 0.0
        while True:
            heartbeat = p.Heartbeat(boot=self.boot, seq=self.seq, loop_lag=round(loop_lag, 4))
            self._state.publish(p.TOPIC_HEARTBEAT, p.encode(heartbeat))
            sent_at = time.monotonic()
            await asyncio.sleep(self._heartbeat_interval)
            loop_lag = max(0.0, time.monotonic() - sent_at - self._heartbeat_interval)

    # ── log ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _track_follower(self, _: Connection, subscription: Subscription) -> None:
        """Follow a log while it has subscribers, and send each new one the position up to which it has been sent."""
        task = _task_of_topic(subscription.topic)
        if task is None:
            return
        if not subscription.is_active:
            if not self._log.has_subscriber(subscription.topic) and (follower := self._followers.pop(task, None)):
                follower.cancel()
                self._log_positions.pop(task, None)
        elif task in self._log_positions:
            self._send_position(task, self._log_positions[task])
        elif task not in self._followers and self._logs.exists(task):
            self._followers[task] = asyncio.create_task(self._follow_log(task), name=f"follow the log of {task}")

    def _stop_following(self) -> None:
        for follower in self._followers.values():
            follower.cancel()
        self._followers.clear()
        self._log_positions.clear()

    async def _follow_log(self, task: str) -> None:
        try:
            position = self._log_positions[task] = await self._in_log_thread(partial(self._logs.size, task))
            self._send_position(task, position)
            while True:
                await asyncio.sleep(max(_LOG_INTERVAL, _LOG_INTERVAL_EACH * len(self._followers)))
                self._log_positions[task] = await self._send_new_text(task, self._log_positions[task])
        except OSError as error:
            _logger.warning("cannot read the log of %s, which is no longer followed: %s", task, error)
            self._followers.pop(task, None)
            self._log_positions.pop(task, None)

    async def _send_new_text(self, task: str, position: int) -> int:
        """Send the text of a log after ``position``, and return the position up to which it has been sent."""
        size = await self._in_log_thread(partial(self._logs.size, task))
        if size < position:
            position = 0
            self._send_chunk(p.LogChunk(task=task, position=0, end=0, text="", restarted=True))
        if size - position > _LOG_BACKLOG:
            position = size - _LOG_CHUNK
        while position < size:
            read = partial(self._logs.read, task, position, _LOG_CHUNK)
            start, position, text = await self._in_log_thread(read)
            if not text:
                break
            self._send_chunk(p.LogChunk(task=task, position=start, end=position, text=text))
        return position

    def _send_position(self, task: str, position: int) -> None:
        self._send_chunk(p.LogChunk(task=task, position=position, end=position, text=""))

    def _send_chunk(self, chunk: p.LogChunk) -> None:
        self._log.publish(p.log_topic(chunk.task), p.encode(chunk))

    async def _in_log_thread(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._log_threads, read)


@contextlib.asynccontextmanager
async def _bound(listener: Listener) -> AsyncIterator[None]:
    try:
        await listener.open()
        yield
    finally:
        await listener.close()


def _allowed_connections() -> int:
    """Return how many connections each socket may have: together they use at most three eighths of the descriptors."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_CONNECTIONS if limit == resource.RLIM_INFINITY else max(8, min(_MAX_CONNECTIONS, limit // 8))


def _task_of_topic(topic: bytes) -> str | None:
    prefix = b"log/"
    if not topic.startswith(prefix) or not topic.endswith(b"/"):
        return None
    return topic[len(prefix) : -1].decode(errors="replace")
