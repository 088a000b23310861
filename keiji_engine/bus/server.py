"""The engine's side of the bus: three sockets, and whatever arrives on them is survived.

``control`` answers requests, ``state`` tells events and heartbeats, ``log`` carries the output of runs to those who
subscribed. Logs have a socket of their own because a flood on one would hold up the heartbeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

import zmq
import zmq.asyncio

from keiji.errors import KeijiError, ProtocolError
from keiji.paths import Paths
from keiji_engine.bus import protocol as p

_LOG_PACE = 0.05  # seconds; chunks are joined for that long
_LOG_CHUNK = 32 * 1024
_LOG_BACKLOG = 1024 * 1024  # a feed that is further behind than this skips to the tail
_MOST_AT_ONCE = 1024  # requests being answered; further ones wait in the socket
_MOST_UNREAD = 50  # replies kept for a client that does not read them


class LogSource(Protocol):
    """Where the text of task logs comes from."""

    def has(self, task: str) -> bool:
        """Return whether there is a task of that slug; what a client sends may be anything."""

    def size(self, task: str) -> int:
        """Return the position at which the log ends, in bytes."""

    def read(self, task: str, position: int, limit: int) -> tuple[int, int, str]:
        """Return text from ``position`` (or the oldest kept after it) on: where it begins, where it ends, itself."""


class BusServer:
    """Sockets, the count of events, and who is interested in which log.

    Args:
        boot: name of this life of the engine.
        answer: carries out a request; it may take its time.
        logs: where the text of task logs comes from.
        note: takes a line for the log of the service.
    """

    def __init__(
        self,
        paths: Paths,
        boot: str,
        answer: Callable[[p.AnyRequest], Awaitable[p.AnyReply]],
        logs: LogSource,
        note: Callable[[str], None],
    ) -> None:
        self.boot = boot
        self.seq = 0
        self.dropped = 0
        self._paths = paths
        self._answer = answer
        self._logs = logs
        self._note = note
        self._state: zmq.asyncio.Socket | None = None
        self._followed: dict[str, int] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)

    def publish(self, event: p.AnyEvent) -> None:
        """Tell everybody. It counts even while the service is stopped, so that a client notices what it missed."""
        self.seq += 1
        self._send_state(p.TOPIC_EVENT, p.Delta(boot=self.boot, seq=self.seq, event=event))

    async def serve(self, ready: Callable[[], None]) -> None:
        """Bind the sockets, call ``ready``, and serve until cancelled."""
        with contextlib.ExitStack() as stack:
            context = stack.enter_context(zmq.asyncio.Context())
            control = stack.enter_context(self._bound(context, zmq.ROUTER, self._paths.control))
            control.setsockopt(zmq.SNDHWM, _MOST_UNREAD)
            state = stack.enter_context(self._bound(context, zmq.XPUB, self._paths.state))
            log = stack.enter_context(self._bound(context, zmq.XPUB, self._paths.log))
            for tells in (state, log):
                tells.setsockopt(zmq.XPUB_VERBOSE, 1)  # every subscriber is heard of, not only a topic's first
            self._state = state
            self._followed.clear()
            self._note(f"bus online at {self._paths.runtime}")
            ready()
            try:
                async with asyncio.TaskGroup() as parts:
                    parts.create_task(self._serve_control(control))
                    parts.create_task(self._serve_joins(state))
                    parts.create_task(self._beat())
                    parts.create_task(self._serve_interest(log))
                    parts.create_task(self._feed_logs(log))
            finally:
                self._state = None
                for task in self._answering:
                    task.cancel()

    @contextlib.contextmanager
    def _bound(self, context: zmq.asyncio.Context, kind: int, path: Path) -> Iterator[zmq.asyncio.Socket]:
        socket = context.socket(kind)
        socket.setsockopt(zmq.LINGER, 200)
        socket.setsockopt(zmq.MAXMSGSIZE, 2 * p.LARGEST_REQUEST)
        # A file that a killed engine left is in the way of nobody: this process holds the engine's lock.
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
            frames = await control.recv_multipart()
            await self._places.acquire()
            task = asyncio.create_task(self._reply(control, frames))
            self._answering.add(task)
            task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answering.discard(task)
        self._places.release()
        if not task.cancelled() and task.exception() is not None:
            self._note(f"a request could not be answered: {task.exception()!r}")

    async def _reply(self, control: zmq.asyncio.Socket, frames: list[bytes]) -> None:
        identity, message = frames[0], frames[1:]
        envelope = [identity]
        if message and message[0] == b"":  # a REQ socket sends this delimiter and wants it back
            envelope.append(message.pop(0))
        try:
            request = p.decode_request(message)
        except ProtocolError as error:
            self.dropped += 1
            if len(message) != 2:  # nobody that speaks this protocol waits for an answer to that
                return
            reply: p.AnyReply = p.Refused.because("", error)
        else:
            reply = await self._answer_safely(request)
        with contextlib.suppress(zmq.ZMQError):  # whoever asked is gone, or reads nothing
            await control.send_multipart([*envelope, *p.encode(reply)], zmq.DONTWAIT)

    async def _answer_safely(self, request: p.AnyRequest) -> p.AnyReply:
        try:
            return await self._answer(request)
        except KeijiError as error:
            return p.Refused.because(request.id, error)
        except Exception as error:  # noqa: BLE001 - the fault of one request is told to its sender and stops no other
            self._note(f"internal error in {type(request).__name__}: {error!r}")
            return p.Refused(id=request.id, code="failed", message=f"internal error: {error!r}")

    # ── state ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _send_state(self, topic: bytes, message: p.Message) -> None:
        if self._state is not None:
            _send(self._state, topic, message)

    async def _serve_joins(self, state: zmq.asyncio.Socket) -> None:
        while True:
            [subscription, *_] = await state.recv_multipart()
            if subscription[:1] == b"\x01" and subscription[1:].startswith(p.TOPIC_JOIN):
                self._send_state(subscription[1:], p.Joined())

    async def _beat(self) -> None:
        late = 0.0
        while True:
            self._send_state(p.TOPIC_HEARTBEAT, p.Heartbeat(boot=self.boot, seq=self.seq, late=round(late, 4)))
            begun = time.monotonic()
            await asyncio.sleep(p.HEARTBEAT_SECONDS)
            late = max(0.0, time.monotonic() - begun - p.HEARTBEAT_SECONDS)

    # ── log ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _serve_interest(self, log: zmq.asyncio.Socket) -> None:
        """Keep track of which logs somebody follows; a new follower learns at once where the log ends."""
        while True:
            [subscription, *_] = await log.recv_multipart()
            task = _task_of(subscription[1:])
            if task is None or not self._logs.has(task):
                continue
            if subscription[:1] == b"\x01":
                position = self._followed.setdefault(task, self._size(task))
                _send(log, p.log_topic(task), p.LogChunk(task=task, position=position, end=position, text=""))
            else:
                self._followed.pop(task, None)

    def _size(self, task: str) -> int:
        try:
            return self._logs.size(task)
        except OSError as error:
            self._note(f"the log of {task} cannot be read: {error}")
            return 0

    async def _feed_logs(self, log: zmq.asyncio.Socket) -> None:
        while True:
            for task, position in list(self._followed.items()):
                reached = self._feed(log, task, position)
                if task in self._followed:
                    self._followed[task] = reached
            await asyncio.sleep(_LOG_PACE)

    def _feed(self, log: zmq.asyncio.Socket, task: str, position: int) -> int:
        """Send what ``task`` wrote since ``position``, and return how far that reached."""
        try:
            size = self._logs.size(task)
            if size < position:
                position = 0
                _send(log, p.log_topic(task), p.LogChunk(task=task, position=0, end=0, text="", anew=True))
            if size - position > _LOG_BACKLOG:
                position = size - _LOG_CHUNK
            while position < size:
                begin, position, text = self._logs.read(task, position, _LOG_CHUNK)
                if not text:
                    break
                _send(log, p.log_topic(task), p.LogChunk(task=task, position=begin, end=position, text=text))
        except OSError as error:
            self._note(f"the log of {task} cannot be read, and is followed no more: {error}")
            self._followed.pop(task, None)
        return position


def _task_of(topic: bytes) -> str | None:
    prefix = b"log/"
    if not topic.startswith(prefix) or not topic.endswith(b"/"):
        return None
    return topic[len(prefix) : -1].decode(errors="replace")


def _send(socket: zmq.asyncio.Socket, topic: bytes, message: p.Message) -> None:
    """Send without waiting: a subscriber that is too slow loses messages rather than holding up the engine."""
    sent = socket.send_multipart([topic, *p.encode(message)], zmq.DONTWAIT)
    assert isinstance(sent, asyncio.Future), "it is done at once, one way or the other"
    error = sent.exception()
    if error is not None and not isinstance(error, zmq.Again):
        raise error
