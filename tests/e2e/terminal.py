"""A terminal that a program believes to be real, with somebody who answers it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence


def on_a_terminal(command: Sequence[str], environment: Mapping[str, str], *talk: str) -> tuple[int, str]:
    """Run a command on a terminal and answer it; return its exit code and what it showed.

    Args:
        talk: what to wait for, what to type then, and so on.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        command, env=dict(environment), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown, coming = b"", list(talk)
    try:
        while select.select([ours], [], [], 20)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
            if coming and coming[0].encode() in shown:
                os.write(ours, coming[1].encode())
                coming = coming[2:]
        return process.wait(timeout=20), shown.decode("utf-8", "replace")
    finally:
        process.terminate()
        process.wait()
        os.close(ours)
