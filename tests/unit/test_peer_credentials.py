"""Peer credentials: from the address that libzmq attaches to a message, or from the descriptor of the connection."""

from __future__ import annotations

import os
import pwd
import socket

import pytest

from keiji_engine.bus.security import UNKNOWN_PEER, Peer, own_peer, peer_of_connection, sudo_user, user_name

UNUSED_UID = 2_000_000_011


@pytest.mark.parametrize("address", [f"localhost:{UNUSED_UID}:100:4711", f"localhost:{UNUSED_UID}:100:"])
def test_the_uid_is_read_from_the_peer_address(address: str) -> None:
    assert peer_of_connection(address, -1) == Peer(UNUSED_UID, str(UNUSED_UID))


@pytest.mark.parametrize("address", ["", "localhost", "localhost:::", "localhost:x:100:4711", "10.0.0.7"])
def test_without_credentials_in_the_address_the_descriptor_is_used(address: str) -> None:
    client, server = socket.socketpair()
    with client, server:
        assert peer_of_connection(address, server.fileno()) == own_peer()
        os.fstat(server.fileno())  # still open


def test_a_descriptor_that_is_closed_or_is_not_a_unix_socket_has_no_known_peer() -> None:
    read_end, write_end = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        assert peer_of_connection("", tcp.fileno()) == UNKNOWN_PEER
    assert peer_of_connection("", read_end) == UNKNOWN_PEER
    os.close(read_end)
    os.close(write_end)
    assert peer_of_connection("", read_end) == UNKNOWN_PEER
    assert peer_of_connection("", -1) == UNKNOWN_PEER


def test_a_user_is_known_by_name_and_otherwise_by_uid() -> None:
    user = pwd.getpwall()[-1]
    assert user_name(user.pw_uid) == pwd.getpwuid(user.pw_uid).pw_name
    assert user_name(UNUSED_UID) == str(UNUSED_UID)


def test_the_sudo_user_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    assert sudo_user() == "ann"
    monkeypatch.delenv("SUDO_USER")
    assert sudo_user() == ""
