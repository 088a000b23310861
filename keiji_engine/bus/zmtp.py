"""The server's side of ZMTP 3 (the wire protocol of ZeroMQ), without any sockets, with bounds on whole messages.

libzmq cannot serve the engine's sockets safely: it aborts the process when the descriptors run out while it accepts a
connection, and it limits the size of a frame but not the number of frames of a message. Clients use any ZeroMQ library.

Only the mechanism NULL is supported: the permissions of the Unix socket decide who can connect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
_MECHANISM = b"NULL".ljust(20, b"\0")
_GREETING_BYTES = 64
_GREETING = (_SIGNATURE + b"\x03\x01" + _MECHANISM).ljust(_GREETING_BYTES, b"\0")

_MORE, _LONG, _COMMAND = 1, 2, 4
_MAX_COMMAND_BYTES = 8 * 1024
_MAX_TOPICS = 1024  # of one client
_MAX_TOPIC_BYTES = 1024


class ZmtpError(Exception):
    """The client sent something that ends its connection."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A client has subscribed to the topics that begin with ``topic``, or has cancelled that."""

    topic: bytes
    is_active: bool


@dataclass(frozen=True, slots=True)
class SocketType:
    """A type of socket that is served.

    Args:
        name: as in the handshake.
        clients: the types of the sockets that may connect.
    """

    name: bytes
    clients: frozenset[bytes]


ROUTER = SocketType(b"ROUTER", frozenset({b"REQ", b"DEALER"}))
XPUB = SocketType(b"XPUB", frozenset({b"SUB", b"XSUB"}))


class Decoder:
    """Decodes what one client sends.

    Args:
        socket_type: the type of the server's socket.
        max_bytes: of a message, over all its frames.
        max_frames: of a message.
    """

    def __init__(self, socket_type: SocketType, *, max_bytes: int, max_frames: int) -> None:
        self._socket_type = socket_type
        self._max_bytes = max_bytes
        self._max_frames = max_frames
        self._received = bytearray()
        self._frames: list[bytes] = []  # of a message that is not complete
        self._has_greeting = False
        self.is_ready = False  # whether the handshake is complete
        self.topics: set[bytes] = set()
        self.outgoing = bytearray(_GREETING)  # to be sent to the client

    def receive(self, data: bytes) -> list[list[bytes] | Subscription]:
        """Return the messages, as frames, and the subscriptions that ``data`` completes.

        What is to be sent in return, such as the handshake, is appended to `outgoing`.

        Raises:
            ZmtpError: the connection must be closed, after `outgoing` has been sent.
        """
        self._received += data
        if not self._has_greeting and not self._read_greeting():
            return []
        completed: list[list[bytes] | Subscription] = []
        position = 0
        try:
            while (found := self._next_frame(position)) is not None:
                flags, body, position = found
                item = self._on_command(body) if flags & _COMMAND else self._on_frame(body, bool(flags & _MORE))
                if item is not None:
                    completed.append(item)
        finally:
            del self._received[:position]
        return completed

    def _read_greeting(self) -> bool:
        head = bytes(self._received[:_GREETING_BYTES])
        # A client of ZMTP 1 or 2, or no client of ZeroMQ at all, is recognised by its first bytes.
        if head[:1] not in (b"", b"\xff") or head[9:10] not in (b"", b"\x7f") or head[10:11] in (b"\0", b"\1", b"\2"):
            raise ZmtpError("not a client of ZMTP 3")
        if len(head) < _GREETING_BYTES:
            return False
        if head[12:32] != _MECHANISM:
            raise ZmtpError(f"the security mechanism {head[12:32].rstrip(bytes(1))!r} is not supported")
        del self._received[:_GREETING_BYTES]
        self._has_greeting = True
        properties = _property(b"Socket-Type", self._socket_type.name) + _property(b"Identity", b"")
        self.outgoing += _command(b"READY", properties)
        return True

    def _next_frame(self, position: int) -> tuple[int, bytes, int] | None:
        """Return flags and body of the frame at ``position``, and where the next one begins; None if incomplete."""
        data = self._received
        if len(data) < position + 2:
            return None
        flags = data[position]
        start = position + (9 if flags & _LONG else 2)
        if len(data) < start:
            return None
        size = int.from_bytes(data[position + 1 : start], "big")
        if flags & _COMMAND:
            limit = _MAX_COMMAND_BYTES
        else:
            limit = self._max_bytes - sum(map(len, self._frames))
            if len(self._frames) >= self._max_frames:
                raise ZmtpError(f"a message has more than {self._max_frames} frames")
        if size > limit:  # known before its bytes have been received
            raise ZmtpError(f"a message has more than {self._max_bytes} bytes")
        if len(data) < start + size:
            return None
        return flags, bytes(data[start : start + size]), start + size

    def _on_frame(self, body: bytes, has_more: bool) -> list[bytes] | Subscription | None:
        if not self.is_ready:
            raise ZmtpError("a message arrived before the handshake was complete")
        self._frames.append(body)
        if has_more:
            return None
        frames, self._frames = self._frames, []
        if self._socket_type is not XPUB:
            return frames
        # Clients of ZMTP 3.0 send subscriptions as messages.
        if len(frames) == 1 and body[:1] in (b"\0", b"\1"):
            return self._on_subscription(body[1:], body[:1] == b"\1")
        return None

    def _on_command(self, body: bytes) -> Subscription | None:
        length = body[0] if body else 0
        name, data = body[1 : 1 + length], body[1 + length :]
        if name == b"READY" and not self.is_ready:
            client = _properties(data).get(b"socket-type", b"")
            if client not in self._socket_type.clients:
                reason = b"a %s socket does not serve this type of socket" % self._socket_type.name
                self.outgoing += _command(b"ERROR", bytes([len(reason)]) + reason)
                raise ZmtpError(f"a socket of type {client!r} has connected to {self._socket_type.name!r}")
            self.is_ready = True
        elif name == b"PING":
            self.outgoing += _command(b"PONG", data[2:18])  # after the time to live: a context, to be returned
        elif name in (b"SUBSCRIBE", b"CANCEL") and self.is_ready and self._socket_type is XPUB:
            return self._on_subscription(data, name == b"SUBSCRIBE")
        elif not self.is_ready:
            raise ZmtpError(f"the handshake failed: {name!r}")
        return None

    def _on_subscription(self, topic: bytes, is_active: bool) -> Subscription:
        if is_active:
            self.topics.add(topic)
        else:
            self.topics.discard(topic)
        if len(topic) > _MAX_TOPIC_BYTES or len(self.topics) > _MAX_TOPICS:
            raise ZmtpError(f"more than {_MAX_TOPICS} subscriptions, or one of more than {_MAX_TOPIC_BYTES} bytes")
        return Subscription(topic, is_active)


def encode_message(frames: Sequence[bytes]) -> bytes:
    """Return a message as it is sent."""
    last = len(frames) - 1
    return b"".join(_frame(_MORE if index < last else 0, body) for index, body in enumerate(frames))


def _frame(flags: int, body: bytes) -> bytes:
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return bytes((flags | _LONG,)) + len(body).to_bytes(8, "big") + body


def _command(name: bytes, data: bytes) -> bytes:
    return _frame(_COMMAND, bytes((len(name),)) + name + data)


def _property(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + len(value).to_bytes(4, "big") + value


def _properties(data: bytes) -> dict[bytes, bytes]:
    """Return the properties of a READY command, with their names in lower case. Raises ZmtpError."""
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        value = position + 1 + data[position] + 4
        end = value + int.from_bytes(data[value - 4 : value], "big")
        if end > len(data):
            raise ZmtpError("the handshake is malformed")
        found[data[position + 1 : value - 4].lower()] = data[value:end]
        position = end
    return found
