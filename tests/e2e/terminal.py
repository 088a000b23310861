"""A pseudo-terminal with a scripted user."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence


def run_on_terminal(argv: Sequence[str], environment: Mapping[str, str], *dialog: str) -> tuple[int, str]:
    """Run a command on a terminal and answer its questions; return its exit code and output.

    Args:
        dialog: alternately the output to wait for, and the input to type then.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        argv, env=dict(environment), stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    output, remaining = b"", list(dialog)
    try:
        while select.select([master], [], [], 20)[0]:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # the command has closed the terminal
                break
            if not chunk:
                break
            output += chunk
            if remaining and remaining[0].encode() in output:
                os.write(master, remaining[1].encode())
                remaining = remaining[2:]
        return process.wait(timeout=20), output.decode("utf-8", "replace")
    finally:
        process.terminate()
        process.wait()
        os.close(master)
