"""Text as the standard input of a program."""

from __future__ import annotations

import os


def open_text(text: str) -> int:
    """Return a descriptor from which a program reads ``text``, and then the end of the file. Raises OSError.

    It is an anonymous file rather than a pipe, so no process has to feed it while the program runs.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("stdin")
    else:
        import tempfile  # deferred: it takes longer to import than everything else here

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    data = text.encode("utf-8", "surrogateescape")
    while data:
        data = data[os.write(descriptor, data) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
