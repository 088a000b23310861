"""A log as a stream of bytes that many processes append to, kept in segments (`keiji.log_reader`, which reads it)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from keiji.log_reader import LogReader, archived_end, archives
from keiji_engine.logs.line_format import LogLine, line, parse_line

__all__ = ["ARCHIVES", "LogLine", "LogReader", "LogWriter", "line", "parse_line"]

ARCHIVES = 5


class LogWriter:
    """Appends whole lines to a log, together with any number of other processes.

    Nothing is opened before the first append, and an append that fails leaves no part of a line behind.

    Args:
        limit: bytes at which the log is rotated; None for never.
        zone: name of the zone for the times that `say` writes.
    """

    def __init__(self, path: Path, limit: int | None, zone: str) -> None:
        self._lock = -1
        self._file = -1
        self.path = path
        self.limit = limit
        self.zone = ZoneInfo(zone)
        self._base = 0
        self._end = -1  # the size that our own last append left, hence known to end in a newline

    def say(self, moment: datetime, level: str, message: str, run: str | None = None) -> tuple[int, int]:
        """Append one line of our own; see `append`."""
        return self.append(line(moment.astimezone(self.zone), level, message, run))

    def append(self, data: bytes) -> tuple[int, int]:
        """Append whole lines; return the positions of their first byte and of the byte after the last.

        Raises:
            ValueError: ``data`` does not end with a newline.
            OSError: nothing of ``data`` was written.
        """
        if not data.endswith(b"\n"):
            raise ValueError("a log takes whole lines")
        with self._locked():
            size = self._open()
            if self.limit is not None and size and size + len(data) > self.limit:
                self._rotate()
                size = self._open()
            # A writer that was killed in the middle of a line must not have the next line glued to its own.
            torn = size not in (0, self._end) and os.pread(self._file, 1, size - 1) != b"\n"
            start = size + torn
            self._write(b"\n" + data if torn else data, size)
            self._end = start + len(data)
            return self._base + start, self._base + self._end

    def close(self) -> None:
        """Close the files; the next append opens them again."""
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1

    def __del__(self) -> None:
        self.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._lock < 0:
            self._lock = self._open_lock()
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _open_lock(self) -> int:
        name, flags = f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(name, flags, 0o600)
        except FileNotFoundError:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(name, flags, 0o600)

    def _open(self) -> int:
        """Make sure that our file is the one that the stream goes on in; return its size."""
        if self._file >= 0:
            mine = os.fstat(self._file)
            try:
                if os.path.samestat(mine, self.path.stat()):
                    return mine.st_size
            except FileNotFoundError:
                pass
            os.close(self._file)
            self._file = -1
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._base = archived_end(archives(self.path))
        self._end = -1
        return os.fstat(self._file).st_size

    def _rotate(self) -> None:
        self.path.rename(f"{self.path}.{self._base}")
        for archive in archives(self.path)[:-ARCHIVES]:
            archive.path.unlink(missing_ok=True)

    def _write(self, data: bytes, size: int) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, size)  # the disk is full: half a line would be worse than none
            raise
