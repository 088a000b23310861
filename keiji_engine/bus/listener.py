"""A Unix socket that serves a bounded number of ZeroMQ clients, whatever they do.

Neither the number of connections, nor what a client sends, nor a client that reads nothing can exhaust the descriptors
or the memory of the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from keiji_engine.bus.security import peer_uid
from keiji_engine.bus.zmtp import Decoder, SocketType, Subscription, ZmtpError, encode_message

HANDSHAKE_TIMEOUT = 5.0  # seconds
MAX_FRAMES = 64
_BACKLOG = 128  # connections that wait to be accepted
_ACCEPTS_PER_TURN = 32  # then the event loop does something else
_RETRY_INTERVAL = 0.1  # seconds until accepting is tried again when the descriptors have run out
_MAX_IN_PROGRESS = 16  # requests of one client; further ones wait
_UNREAD_REPLIES = 256 * 1024  # bytes; until a client has read them, no further request of it is answered
_MAX_BUFFERED = 4 * 1024 * 1024  # bytes that one subscriber has not read; further messages to it are dropped
_MAX_BUFFERED_BY_ALL = 32 * 1024 * 1024
_SMALL_BUFFER = 64 * 1024
_WARNING_INTERVAL = 60.0  # seconds
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_logger = logging.getLogger("keiji.bus")

OnMessage = Callable[["Connection", list[bytes]], Awaitable[None]]
OnSubscription = Callable[["Connection", Subscription], None]


class Listener:
    """A bound socket and its connections.

    When there are ``max_connections``, a further one replaces a connection without a handshake, or else the one that
    has been idle for the longest time. A connection with a request in progress or with subscriptions is not replaced.

    Args:
        max_bytes: size of a message from a client, over all its frames; a larger one closes the connection.
        on_message: handles a message of a ROUTER socket; several run concurrently.
        on_subscription: called for each subscription, and for its end, also by the end of the connection.
        handshake_timeout: seconds after which a connection without a handshake is closed.
    """

    def __init__(
        self,
        path: Path,
        socket_type: SocketType,
        *,
        max_connections: int,
        max_bytes: int,
        on_message: OnMessage | None = None,
        on_subscription: OnSubscription | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        self.path = path
        self.socket_type = socket_type
        self.max_bytes = max_bytes
        self.on_message = on_message
        self.on_subscription = on_subscription
        self.handshake_timeout = handshake_timeout
        self._max_connections = max_connections
        self._connections: dict[Connection, None] = {}
        self._socket: socket.socket | None = None
        self._identity: os.stat_result | None = None  # of the file
        self._reserve = -1  # a descriptor that is given up to accept, and then close, a connection
        self._warned_at = float("-inf")

    async def open(self) -> None:
        """Bind the socket and begin to accept connections. Raises OSError."""
        bound, self._identity = await asyncio.to_thread(_bind, self.path)
        self._socket = bound
        self._acquire_reserve(bound)
        asyncio.get_running_loop().add_reader(bound, self._accept)

    def is_in_place(self) -> bool:
        """Return whether clients find the file of the socket; True if the socket is not bound."""
        identity = self._identity
        try:
            return identity is None or os.path.samestat(identity, self.path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False

    async def restore(self, path: Path) -> None:
        """Bind the socket again, at ``path``, if its file was deleted. Connections are kept. Raises OSError."""
        if self._socket is None or (path == self.path and await asyncio.to_thread(self.is_in_place)):
            self.path = path
            return
        self.path = path
        self._stop_listening()
        await self.open()

    async def close(self) -> None:
        """Close the socket and all connections, after what has been sent to them; remove the file."""
        self._stop_listening()
        for connection in list(self._connections):
            connection.close()
        if await asyncio.to_thread(self.is_in_place):  # otherwise another engine may have replaced it
            await asyncio.to_thread(self.path.unlink, missing_ok=True)
        self._identity = None

    def has_subscriber(self, topic: bytes) -> bool:
        """Return whether a client has subscribed to exactly this topic."""
        return any(topic in connection.topics for connection in self._connections)

    def publish(self, topic: bytes, frames: Sequence[bytes]) -> None:
        """Send a message to the subscribers of its topic, without waiting: a slow subscriber loses messages."""
        message = None
        for connection in self._connections:
            if connection.is_subscribed(topic) and self._has_room(connection):
                message = message or encode_message([topic, *frames])
                connection.write(message)

    def _has_room(self, connection: Connection) -> bool:
        size = connection.buffered
        if size <= _SMALL_BUFFER:
            return True
        return size < _MAX_BUFFERED and sum(each.buffered for each in self._connections) < _MAX_BUFFERED_BY_ALL

    # ── accepting ────────────────────────────────────────────────────────────────────────────────────────────────

    def _stop_listening(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        self._release_reserve()

    def _acquire_reserve(self, bound: socket.socket) -> None:
        if self._reserve < 0:
            with contextlib.suppress(OSError):  # there is none to spare now
                self._reserve = os.dup(bound.fileno())

    def _release_reserve(self) -> None:
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            if self._socket is None:
                return
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._reject(self._socket, error)
                return
            if len(self._connections) >= self._max_connections and not self._replace_one():
                accepted.close()
                continue
            accepted.setblocking(False)
            self._connections[Connection(self, accepted)] = None

    def _reject(self, bound: socket.socket, error: OSError) -> None:
        """Close a connection for which there is no descriptor: otherwise its client would wait without an answer."""
        self._warn("a connection to %s was rejected: %s", self.path.name, error.strerror)
        self._release_reserve()
        with contextlib.suppress(OSError):
            bound.accept()[0].close()
        self._acquire_reserve(bound)
        loop = asyncio.get_running_loop()
        loop.remove_reader(bound)
        loop.call_later(_RETRY_INTERVAL, self._accept_again, bound)

    def _accept_again(self, bound: socket.socket) -> None:
        if self._socket is bound:
            self._acquire_reserve(bound)
            asyncio.get_running_loop().add_reader(bound, self._accept)

    def _replace_one(self) -> bool:
        """Close the connection that is least likely to be missed; return False if all of them are in use."""
        idle = [connection for connection in self._connections if connection.is_idle]
        if not idle:
            self._warn("%s has %d connections; further ones are rejected", self.path.name, self._max_connections)
            return False
        self._warn("%s has %d connections; idle ones are closed", self.path.name, self._max_connections)
        min(idle, key=lambda connection: (connection.is_ready, connection.active_at)).abort()
        return True

    def _warn(self, message: str, *arguments: object) -> None:
        if time.monotonic() - self._warned_at >= _WARNING_INTERVAL:
            self._warned_at = time.monotonic()
            _logger.warning(message, *arguments)

    def forget(self, connection: Connection) -> None:
        """Drop a connection that has ended, with its subscriptions."""
        if connection in self._connections:
            del self._connections[connection]
            if self.on_subscription is not None:
                for topic in connection.topics:
                    self.on_subscription(connection, Subscription(topic, is_active=False))


class Connection(asyncio.Protocol):
    """A connected client. ``uid`` is the user of its process; None if the platform does not report it."""

    def __init__(self, listener: Listener, accepted: socket.socket) -> None:
        self.uid = peer_uid(accepted)
        self.active_at = time.monotonic()
        self._listener = listener
        self._decoder = Decoder(listener.socket_type, max_bytes=listener.max_bytes, max_frames=MAX_FRAMES)
        self._transport: asyncio.Transport | None = None
        self._is_closed = False
        self._waiting: deque[list[bytes]] = deque()
        self._in_progress: set[asyncio.Future[None]] = set()
        loop = asyncio.get_running_loop()
        self._connecting = loop.create_task(self._connect(accepted))
        self._handshake_timer = loop.call_later(listener.handshake_timeout, self._end_handshake)

    @property
    def is_ready(self) -> bool:
        """Whether the handshake is complete."""
        return self._decoder.is_ready

    @property
    def is_idle(self) -> bool:
        """Whether the client neither waits for an answer nor has subscriptions."""
        return not (self._in_progress or self._waiting or self.topics or self.buffered)

    @property
    def topics(self) -> set[bytes]:
        return self._decoder.topics

    @property
    def buffered(self) -> int:
        """The number of bytes that were sent and that the client has not read."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def is_subscribed(self, topic: bytes) -> bool:
        return any(map(topic.startswith, self.topics))

    def send(self, frames: Sequence[bytes]) -> None:
        """Send a message, unless the client has disconnected."""
        self.write(encode_message(frames))

    def write(self, message: bytes) -> None:
        """Send an encoded message, unless the client has disconnected."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(message)

    def close(self) -> None:
        """End the connection, after what has been sent."""
        self._end()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        self._is_closed = True
        self._handshake_timer.cancel()
        self._waiting.clear()
        for task in self._in_progress:
            task.cancel()
        self._listener.forget(self)

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self, accepted)
        except Exception as error:  # noqa: BLE001 - for example no memory; only this client is affected
            _logger.debug("a connection failed: %s", error)
            accepted.close()
            self.abort()

    def _end_handshake(self) -> None:
        if not self.is_ready:
            self.abort()

    # ── called by asyncio ────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_UNREAD_REPLIES)
        if self._is_closed:
            transport.abort()
        else:
            self._send_outgoing()

    def connection_lost(self, _: Exception | None) -> None:
        self._end()

    def pause_writing(self) -> None:
        self._update_reading()

    def resume_writing(self) -> None:
        self._start_next()

    def data_received(self, data: bytes) -> None:
        self.active_at = time.monotonic()
        try:
            received = self._decoder.receive(data)
        except ZmtpError as error:
            _logger.debug("dropped a malformed request: %s", error)
            self._send_outgoing()
            self.close()
            return
        self._send_outgoing()
        for item in received:
            if isinstance(item, Subscription):
                if self._listener.on_subscription is not None:
                    self._listener.on_subscription(self, item)
            elif self._listener.on_message is not None:
                self._waiting.append(item)
        self._start_next()

    def _send_outgoing(self) -> None:
        outgoing = self._decoder.outgoing
        if outgoing:
            self.write(bytes(outgoing))
            outgoing.clear()
        if self.buffered > _MAX_BUFFERED:  # a client that sends pings and reads nothing
            self.abort()

    def _start_next(self) -> None:
        handle = self._listener.on_message
        while handle is not None and self._waiting and self._may_answer():
            task = asyncio.ensure_future(handle(self, self._waiting.popleft()))
            self._in_progress.add(task)
            task.add_done_callback(self._on_done)
        self._update_reading()

    def _may_answer(self) -> bool:
        return len(self._in_progress) < _MAX_IN_PROGRESS and self.buffered <= _UNREAD_REPLIES

    def _on_done(self, task: asyncio.Future[None]) -> None:
        self._in_progress.discard(task)
        self.active_at = time.monotonic()
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("a request could not be answered", exc_info=error)
        if not self._is_closed:
            self._start_next()

    def _update_reading(self) -> None:
        """Read from a client only while it reads its replies, and has not sent more than can be answered."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._waiting or (self._listener.on_message is not None and self.buffered > _UNREAD_REPLIES):
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


def _bind(path: Path) -> tuple[socket.socket, os.stat_result]:
    """Return a listening socket that only its owner can use, and the status of its file."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        # The file may be left over from an engine that was killed: this process holds the engine's lock.
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.unlink(missing_ok=True)
        bound.bind(str(path))
        path.chmod(0o600)  # in a folder with mode 0700
        bound.listen(_BACKLOG)
        return bound, path.stat()
    except BaseException:
        bound.close()
        raise
