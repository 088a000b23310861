"""Peer credentials, as the kernel reports them for a connection."""

from __future__ import annotations

import os
import pwd
import socket

import pytest

from keiji_engine.bus.security import peer_uid, sudo_user, user_name

UNUSED_UID = 2_000_000_011


def test_the_peer_of_a_unix_socket_is_known_by_its_uid() -> None:
    client, server = socket.socketpair()
    with client, server:
        assert peer_uid(server) == os.geteuid()


def test_a_socket_that_is_closed_or_is_not_a_unix_socket_has_no_known_peer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        assert peer_uid(tcp) is None
    assert peer_uid(tcp) is None


def test_a_user_is_known_by_name_and_otherwise_by_uid() -> None:
    user = pwd.getpwall()[-1]
    assert user_name(user.pw_uid) == pwd.getpwuid(user.pw_uid).pw_name
    assert user_name(UNUSED_UID) == str(UNUSED_UID)


def test_the_sudo_user_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    assert sudo_user() == "ann"
    monkeypatch.delenv("SUDO_USER")
    assert sudo_user() == ""
