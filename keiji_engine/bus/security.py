"""Identifies the sender of a request: the user of the client process, as the kernel reports it for the connection."""

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
    """Return the peer that runs as ``uid``. The lookup of its name may take long the first time."""
    return Peer(uid, user_name(uid))


def own_peer() -> Peer:
    """Return the user of this process, for requests that it carries out itself."""
    return peer_of_uid(os.geteuid())


def peer_uid(connection: socket.socket) -> int | None:
    """Return the uid of the process at the other end of a Unix socket; None if the platform does not report it."""
    try:
        return _read_uid(connection)
    except (OSError, struct.error):
        return None


@lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    """Return the name of a user, or the uid as text if it has no name.

    Cached, and not to be called on the event loop, since a lookup may use the network.
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def sudo_user() -> str:
    """Return the user who started this process with sudo; "" if it was started without sudo."""
    return os.environ.get("SUDO_USER", "")


def _read_uid(connection: socket.socket) -> int | None:
    if sys.platform == "linux":
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        _, uid, _ = struct.unpack("iII", credentials)
        return int(uid) if uid != _NO_UID else None
    credentials = connection.getsockopt(0, _LOCAL_PEERCRED, _XUCRED_SIZE)
    version, uid = struct.unpack_from("II", credentials)
    return int(uid) if version == 0 else None
