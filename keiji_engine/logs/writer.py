"""Appends to a log: a byte stream shared by many processes and stored in segments. `keiji.log_reader` reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from keiji import file_lock
from keiji.log_reader import archived_end, archives
from keiji_engine.logs.line_format import format_line

MAX_ARCHIVES = 5


class LogWriter:
    """Appends whole lines to a log, to which any number of other processes may append.

    Files are opened by the first append. An append that fails leaves no partial line behind.

    Args:
        limit: size in bytes at which the log is rotated; None to never rotate it.
        zone: name of the time zone of the lines that `write_line` writes.
    """

    def __init__(self, path: Path, limit: int | None, zone: str) -> None:
        self._lock_file = -1
        self._file = -1
        self.path = path
        self.limit = limit
        self.zone = ZoneInfo(zone)
        self._base = 0
        self._own_size = -1  # the file's size after our last append: up to there, it is known to end in a newline

    def write_line(self, time: datetime, level: str, message: str, run: str | None = None) -> tuple[int, int]:
        """Format a line and append it; see `append`."""
        return self.append(format_line(time.astimezone(self.zone), level, message, run))

    def append(self, data: bytes) -> tuple[int, int]:
        """Append whole lines.

        Returns:
            The position of their first byte, and the position after their last byte.

        Raises:
            ValueError: ``data`` does not end with a newline.
            OSError: nothing was written.
        """
        if not data.endswith(b"\n"):
            raise ValueError("a log accepts whole lines only: the data must end with a newline")
        with self._locked():
            size = self._open()
            if self.limit is not None and size and size + len(data) > self.limit:
                self._rotate()
                size = self._open()
            # A process that was killed while writing leaves a line without a newline. Terminate that line first.
            is_torn = size not in (0, self._own_size) and os.pread(self._file, 1, size - 1) != b"\n"
            start = size + is_torn
            self._write(b"\n" + data if is_torn else data, size)
            self._own_size = start + len(data)
            return self._base + start, self._base + self._own_size

    def close(self) -> None:
        """Close the files; the next append opens them again."""
        for descriptor in (self._file, self._lock_file):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock_file = -1

    def __del__(self) -> None:
        self.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._lock_file < 0:
            self._lock_file = self._open_lock_file()
        file_lock.lock(self._lock_file)
        try:
            yield
        finally:
            file_lock.unlock(self._lock_file)

    def _open_lock_file(self) -> int:
        name, flags = f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(name, flags, 0o600)
        except FileNotFoundError:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(name, flags, 0o600)

    def _open(self) -> int:
        """Open the live segment, again if another process has rotated or removed it; return its size."""
        if self._file >= 0:
            opened = os.fstat(self._file)
            try:
                if os.path.samestat(opened, self.path.stat()):
                    return opened.st_size
            except FileNotFoundError:
                pass
            os.close(self._file)
            self._file = -1
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._base = archived_end(archives(self.path))
        self._own_size = -1
        return os.fstat(self._file).st_size

    def _rotate(self) -> None:
        self.path.rename(f"{self.path}.{self._base}")
        for archive in archives(self.path)[:-MAX_ARCHIVES]:
            archive.path.unlink(missing_ok=True)

    def _write(self, data: bytes, size: int) -> None:
        remaining = memoryview(data)
        try:
            while remaining:
                remaining = remaining[os.write(self._file, remaining) :]
        except OSError:
            os.ftruncate(self._file, size)  # the disk is full; remove the partial line
            raise
