"""The engine side of the bus: three sockets, which must survive anything that a client sends.

``control`` answers requests, ``state`` publishes events and heartbeats, and ``log`` publishes the output of runs to
clients that subscribe to it. Logs have a socket of their own because a flood on a shared one would delay heartbeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, cast

import zmq
import zmq.asyncio

from keiji.errors import KeijiError, ProtocolError
from keiji.paths import Paths
from keiji_engine.bus import protocol as p
from keiji_engine.bus.security import Peer, peer_of_connection

_LOG_INTERVAL = 0.05  # seconds; text appended within it is sent as one chunk
_LOG_CHUNK = 32 * 1024  # bytes
_LOG_BACKLOG = 1024 * 1024  # bytes; a follower that is further behind skips to the tail
_MAX_CONCURRENT = 1024  # requests being answered; further ones wait in the socket
_MAX_UNREAD_REPLIES = 50  # per client

_logger = logging.getLogger("keiji.bus")


class LogSource(Protocol):
    """Provides the text of task logs."""

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
    """

    def __init__(
        self,
        paths: Paths,
        boot: str,
        answer: Callable[[p.AnyRequest, Peer], Awaitable[p.AnyReply]],
        logs: LogSource,
        *,
        heartbeat_interval: float = p.HEARTBEAT_SECONDS,
    ) -> None:
        self.boot = boot
        self.seq = 0
        self._paths = paths
        self._answer = answer
        self._logs = logs
        self._heartbeat_interval = heartbeat_interval
        self._state: zmq.asyncio.Socket | None = None
        self._log_positions: dict[str, int] = {}  # of each followed log, the position up to which it has been sent
        self._answering: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)

    def publish(self, event: p.Event) -> None:
        """Send an event to all clients. It is numbered even while the service is stopped, so that clients see a gap."""
        self.seq += 1
        self._send_state(p.TOPIC_EVENT, p.Delta(boot=self.boot, seq=self.seq, event=cast(p.AnyEvent, event)))

    async def serve(self, ready: Callable[[], None]) -> None:
        """Bind the sockets, call ``ready``, and serve until cancelled."""
        with contextlib.ExitStack() as stack:
            context = stack.enter_context(zmq.asyncio.Context())
            control = stack.enter_context(self._bind(context, zmq.ROUTER, self._paths.control_socket))
            control.setsockopt(zmq.SNDHWM, _MAX_UNREAD_REPLIES)
            state = stack.enter_context(self._bind(context, zmq.XPUB, self._paths.state_socket))
            log = stack.enter_context(self._bind(context, zmq.XPUB, self._paths.log_socket))
            for publisher in (state, log):
                publisher.setsockopt(zmq.XPUB_VERBOSE, 1)  # report every subscriber of a topic, not only the first
            self._state = state
            self._log_positions.clear()
            _logger.info("bus online at %s", self._paths.runtime)
            ready()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._serve_control(control))
                    group.create_task(self._confirm_subscriptions(state))
                    group.create_task(self._send_heartbeats())
                    group.create_task(self._track_log_subscriptions(log))
                    group.create_task(self._send_logs(log))
            finally:
                self._state = None
                for task in self._answering:
                    task.cancel()

    @contextlib.contextmanager
    def _bind(self, context: zmq.asyncio.Context, kind: int, path: Path) -> Iterator[zmq.asyncio.Socket]:
        socket = context.socket(kind)
        socket.setsockopt(zmq.LINGER, 200)
        socket.setsockopt(zmq.MAXMSGSIZE, 2 * p.MAX_REQUEST_BYTES)
        # The file may be left over from an engine that was killed: this process holds the engine's lock.
        path.unlink(missing_ok=True)
        try:
            socket.bind(f"ipc://{path}")
            path.chmod(0o600)
            yield socket
        finally:
            socket.close()
            path.unlink(missing_ok=True)

    # ── control ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _serve_control(self, control: zmq.asyncio.Socket) -> None:
        while True:
            frames = await control.recv_multipart(copy=False)  # copies lose the properties of the connection
            await self._slots.acquire()
            task = asyncio.create_task(self._reply(control, frames))
            self._answering.add(task)
            task.add_done_callback(self._release_slot)

    def _release_slot(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("a request could not be answered", exc_info=error)

    async def _reply(self, control: zmq.asyncio.Socket, frames: Sequence[zmq.Frame]) -> None:
        peer = _peer_of(frames[-1])
        identity, *message = [frame.bytes for frame in frames]
        envelope = [identity]
        if message and message[0] == b"":  # a REQ socket sends this delimiter and expects it in the reply
            envelope.append(message.pop(0))
        try:
            request = p.decode_request(message)
        except ProtocolError as error:
            if len(message) != 2:  # a client of this protocol sends two frames and waits for an answer
                _logger.debug("dropped a malformed request: %s", error.message)
                return
            reply: p.AnyReply = p.Refused.from_error("", error)
        else:
            reply = await self._answer_safely(request, peer)
        with contextlib.suppress(zmq.ZMQError):  # the client has disconnected, or does not read its replies
            await control.send_multipart([*envelope, *p.encode(reply)], zmq.DONTWAIT)

    async def _answer_safely(self, request: p.AnyRequest, peer: Peer) -> p.AnyReply:
        try:
            return await self._answer(request, peer)
        except KeijiError as error:
            return p.Refused.from_error(request.id, error)
        except Exception as error:
            _logger.exception("internal error in %s", p.tag_of(type(request)))
            return p.Refused(id=request.id, code="failed", message=f"internal error: {error!r}")

    # ── state ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _send_state(self, topic: bytes, message: p.Message) -> None:
        if self._state is not None:
            _send(self._state, topic, message)

    async def _confirm_subscriptions(self, state: zmq.asyncio.Socket) -> None:
        while True:
            [subscription, *_] = await state.recv_multipart()
            if subscription[:1] == b"\x01" and subscription[1:].startswith(p.TOPIC_SUBSCRIBED):
                self._send_state(subscription[1:], p.Subscribed())

    async def _send_heartbeats(self) -> None:
        loop_lag = 0.0
        while True:
            heartbeat = p.Heartbeat(boot=self.boot, seq=self.seq, loop_lag=round(loop_lag, 4))
            self._send_state(p.TOPIC_HEARTBEAT, heartbeat)
            sent_at = time.monotonic()
            await asyncio.sleep(self._heartbeat_interval)
            loop_lag = max(0.0, time.monotonic() - sent_at - self._heartbeat_interval)

    # ── log ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _track_log_subscriptions(self, log: zmq.asyncio.Socket) -> None:
        """Track which logs are followed, and send each new follower the position at which the log ends."""
        while True:
            [subscription, *_] = await log.recv_multipart()
            task = _task_of_topic(subscription[1:])
            if task is None or not self._logs.exists(task):
                continue
            if subscription[:1] == b"\x01":
                position = self._log_positions.setdefault(task, self._size(task))
                _send(log, p.log_topic(task), p.LogChunk(task=task, position=position, end=position, text=""))
            else:
                self._log_positions.pop(task, None)

    def _size(self, task: str) -> int:
        try:
            return self._logs.size(task)
        except OSError as error:
            _logger.warning("cannot read the log of %s: %s", task, error)
            return 0

    async def _send_logs(self, log: zmq.asyncio.Socket) -> None:
        while True:
            for task, position in list(self._log_positions.items()):
                end = self._send_log(log, task, position)
                if task in self._log_positions:
                    self._log_positions[task] = end
            await asyncio.sleep(_LOG_INTERVAL)

    def _send_log(self, log: zmq.asyncio.Socket, task: str, position: int) -> int:
        """Send the text of a log after ``position``, and return the position up to which it has been sent."""
        try:
            size = self._logs.size(task)
            if size < position:
                position = 0
                _send(log, p.log_topic(task), p.LogChunk(task=task, position=0, end=0, text="", restarted=True))
            if size - position > _LOG_BACKLOG:
                position = size - _LOG_CHUNK
            while position < size:
                start, position, text = self._logs.read(task, position, _LOG_CHUNK)
                if not text:
                    break
                _send(log, p.log_topic(task), p.LogChunk(task=task, position=start, end=position, text=text))
        except OSError as error:
            _logger.warning("cannot read the log of %s, which is no longer followed: %s", task, error)
            self._log_positions.pop(task, None)
        return position


def _peer_of(frame: zmq.Frame) -> Peer:
    address, descriptor = _property(frame, "Peer-Address"), _property(frame, zmq.SRCFD)
    return peer_of_connection(
        address if isinstance(address, str) else "", descriptor if isinstance(descriptor, int) else -1
    )


def _property(frame: zmq.Frame, name: str | int) -> object:
    try:
        return frame.get(name)
    except zmq.ZMQError:  # this build of libzmq does not provide it
        return None


def _task_of_topic(topic: bytes) -> str | None:
    prefix = b"log/"
    if not topic.startswith(prefix) or not topic.endswith(b"/"):
        return None
    return topic[len(prefix) : -1].decode(errors="replace")


def _send(socket: zmq.asyncio.Socket, topic: bytes, message: p.Message) -> None:
    """Send without waiting: a slow subscriber loses messages rather than blocking the engine."""
    sent = socket.send_multipart([topic, *p.encode(message)], zmq.DONTWAIT)
    assert isinstance(sent, asyncio.Future), "a send that does not wait is complete at once"
    error = sent.exception()
    if error is not None and not isinstance(error, zmq.Again):
        raise error
