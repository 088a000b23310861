"""Identifies the sender of a request: the user of the client process, as the kernel reports it for the connection.

libzmq reads the credentials of a peer when it accepts the connection and attaches them to every message as part of the
``Peer-Address`` property. If it does not, which depends on the C library, the credentials are read from the descriptor
of the connection.
"""

from __future__ import annotations

import os
import pwd
import socket
import struct
import sys
from dataclasses import dataclass
from functools import lru_cache

_LOCAL_PEERCRED = 1  # macOS and the BSDs, at level 0: the peer's credentials as a struct xucred
_XUCRED_SIZE = 76
_NO_UID = 0xFFFFFFFF  # from Linux, for a socket without credentials


@dataclass(frozen=True, slots=True)
class Peer:
    """The user of a client process.

    Args:
        uid: None if the platform does not report it.
        user: the name of the user, or the uid as text if it has no name; "" if ``uid`` is None.
    """

    uid: int | None
    user: str


UNKNOWN_PEER = Peer(None, "")


def peer_of_uid(uid: int) -> Peer:
    """Return the peer that runs as ``uid``."""
    return Peer(uid, user_name(uid))


def own_peer() -> Peer:
    """Return the user of this process, for requests that it carries out itself."""
    return peer_of_uid(os.geteuid())


def peer_of_connection(peer_address: str, descriptor: int) -> Peer:
    """Return the peer of a connection to a Unix socket; `UNKNOWN_PEER` if it cannot be determined.

    Args:
        peer_address: the ``Peer-Address`` of a message from the peer; "" if the message has none.
        descriptor: the descriptor of the connection; -1 if unknown.
    """
    uid = _uid_in_address(peer_address)
    if uid is None:
        uid = _uid_of_descriptor(descriptor)
    return UNKNOWN_PEER if uid is None else peer_of_uid(uid)


@lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    """Return the name of a user, or the uid as text if it has no name. Cached, since a lookup may use the network."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def sudo_user() -> str:
    """Return the user who started this process with sudo; "" if it was started without sudo."""
    return os.environ.get("SUDO_USER", "")


def _uid_in_address(peer_address: str) -> int | None:
    """Return the uid in an address of libzmq, which is ``<host>:<uid>:<gid>:<pid>``; the pid may be missing."""
    fields = peer_address.rsplit(":", 3)
    return int(fields[1]) if len(fields) == 4 and fields[1].isdecimal() else None


def _uid_of_descriptor(descriptor: int) -> int | None:
    """Return the uid of the peer of a Unix socket.

    The descriptor belongs to libzmq, which may close it at any time. If the client has disconnected since it sent the
    message, and another client has been given the same descriptor, this is the user of that client.
    """
    try:
        with socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            return _peer_uid(connection)
    except (OSError, struct.error):
        return None


def _peer_uid(connection: socket.socket) -> int | None:
    if sys.platform == "linux":
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        _, uid, _ = struct.unpack("iII", credentials)
        return int(uid) if uid != _NO_UID else None
    credentials = connection.getsockopt(0, _LOCAL_PEERCRED, _XUCRED_SIZE)
    version, uid = struct.unpack_from("II", credentials)
    return int(uid) if version == 0 else None
