"""The server's side of ZMTP, byte by byte. tests/integration/test_bus.py connects libzmq to it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji_engine.bus.zmtp import ROUTER, XPUB, Decoder, SocketType, Subscription, ZmtpError, encode_message

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)


def command(name: bytes, data: bytes = b"") -> bytes:
    body = bytes([len(name)]) + name + data
    return bytes([4, len(body)]) + body


def ready(socket_type: bytes) -> bytes:
    return command(b"READY", b"\x0bSocket-Type" + len(socket_type).to_bytes(4, "big") + socket_type)


def decoder(socket_type: SocketType = ROUTER, *, max_bytes: int = 1000, max_frames: int = 10) -> Decoder:
    return Decoder(socket_type, max_bytes=max_bytes, max_frames=max_frames)


def connected(socket_type: SocketType = ROUTER, client: bytes = b"DEALER") -> Decoder:
    connection = decoder(socket_type)
    assert connection.receive(GREETING + ready(client)) == []
    assert connection.is_ready
    connection.outgoing.clear()
    return connection


def test_the_handshake_sends_a_greeting_and_then_the_type_of_the_socket() -> None:
    connection = decoder()
    assert bytes(connection.outgoing) == GREETING
    connection.outgoing.clear()
    connection.receive(GREETING[:11])
    assert not connection.outgoing
    connection.receive(GREETING[11:])
    assert bytes(connection.outgoing) == command(b"READY", b"\x0bSocket-Type\0\0\0\x06ROUTER" + b"\x08Identity\0\0\0\0")
    assert not connection.is_ready


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x01\x00",
        b"\xff" + bytes(8) + b"\x00",
        b"\xff" + bytes(8) + b"\x7f\x01",
        GREETING.replace(b"NULL", b"CURV"),
        GREETING + ready(b"SUB"),
        GREETING + command(b"READY", b"\xff"),
        GREETING + command(b"HELLO"),
        GREETING + encode_message([b"too early"]),
    ],
)
def test_another_protocol_or_type_of_socket_ends_the_connection(sent: bytes) -> None:
    with pytest.raises(ZmtpError):
        decoder().receive(sent)


def test_a_client_of_the_wrong_type_learns_why() -> None:
    connection = decoder()
    with pytest.raises(ZmtpError):
        connection.receive(GREETING + ready(b"SUB"))
    assert b"\x05ERROR" in connection.outgoing


@given(
    messages=st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=3), max_size=5),
    sizes=st.lists(st.integers(1, 100), min_size=1),
)
def test_messages_arrive_complete_and_in_order_however_they_are_split(
    messages: list[list[bytes]], sizes: list[int]
) -> None:
    connection = connected()
    data = b"".join(map(encode_message, messages))
    received = []
    for turn in range(len(data)):
        size = sizes[turn % len(sizes)]
        received += connection.receive(data[:size])
        data = data[size:]
    assert received == messages


@given(data=st.binary(max_size=400), is_connected=st.booleans())
def test_any_bytes_are_decoded_or_end_the_connection(data: bytes, is_connected: bool) -> None:
    with contextlib.suppress(ZmtpError):
        (connected() if is_connected else decoder()).receive(data)


@pytest.mark.parametrize(
    ("message", "is_allowed"),
    [
        ([b"x" * 1000], True),
        ([b"x" * 1001], False),
        ([b"x" * 600, b"x" * 400], True),
        ([b"x" * 600, b"x" * 401], False),
        ([b""] * 10, True),
        ([b""] * 11, False),
    ],
)
def test_the_bounds_apply_to_the_whole_message(message: list[bytes], is_allowed: bool) -> None:
    connection = connected()
    if is_allowed:
        assert connection.receive(encode_message(message)) == [message]
        assert connection.receive(encode_message(message)) == [message], "each message has the same bounds"
    else:
        with pytest.raises(ZmtpError, match="a message has more than"):
            connection.receive(encode_message(message))


def test_an_oversized_frame_is_noticed_before_it_is_received() -> None:
    with pytest.raises(ZmtpError):
        connected().receive(b"\x02" + (1 << 40).to_bytes(8, "big"))


def test_subscriptions_arrive_as_commands_or_as_messages() -> None:
    connection = connected(XPUB, b"SUB")
    sent = command(b"SUBSCRIBE", b"a") + encode_message([b"\1b"]) + encode_message([b"text"]) + command(b"CANCEL", b"a")
    assert connection.receive(sent) == [Subscription(b"a", True), Subscription(b"b", True), Subscription(b"a", False)]
    assert connection.topics == {b"b"}


def test_the_number_of_subscriptions_is_bounded() -> None:
    subscriptions = b"".join(command(b"SUBSCRIBE", b"%d" % number) for number in range(2000))
    with pytest.raises(ZmtpError):
        connected(XPUB, b"SUB").receive(subscriptions)


def test_the_length_of_a_subscription_is_bounded() -> None:
    subscription = b"\x09SUBSCRIBE" + b"x" * 1100
    with pytest.raises(ZmtpError):
        connected(XPUB, b"SUB").receive(b"\x06" + len(subscription).to_bytes(8, "big") + subscription)


def test_a_ping_is_answered_with_its_context() -> None:
    connection = connected()
    connection.receive(command(b"PING", b"\0\x0acontext"))
    assert bytes(connection.outgoing) == command(b"PONG", b"context")
