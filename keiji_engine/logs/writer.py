"""Appends to a log: a byte stream shared by many processes and stored in segments. `keiji.log_reader` reads it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from keiji import file_lock
from keiji.log_reader import archive_path, archived_end, archives
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

    def append(self, data: bytes, *, wait: bool = True) -> tuple[int, int]:
        """Append whole lines.

        Args:
            wait: whether to wait while another process has locked the log.

        Returns:
            The position of their first byte, and the position after their last byte.

        Raises:
            ValueError: ``data`` does not end with a newline.
            BlockingIOError: another process has locked the log; nothing was written.
            OSError: nothing was written.
        """
        if not data.endswith(b"\n"):
            raise ValueError("a log accepts whole lines only: the data must end with a newline")
        with self._locked(wait):
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
    def _locked(self, wait: bool) -> Iterator[None]:
        while True:
            if is_new := self._lock_file < 0:
                self._lock_file = self._open_lock_file()
            if wait:
                file_lock.lock(self._lock_file)
            elif not file_lock.try_lock(self._lock_file):
                raise BlockingIOError(errno.EWOULDBLOCK, "another process has locked the log")
            if self._is_current_lock_file():
                break
            self.close()  # the folder was removed; other writers use another lock file by now
        try:
            if is_new:
                self._adopt_archives()
            yield
        finally:
            file_lock.unlock(self._lock_file)

    def _is_current_lock_file(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._lock_file), Path(f"{self.path}.lock").stat())
        except FileNotFoundError:
            return False

    def _open_lock_file(self) -> int:
        name, flags = f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return _open_private(name, flags)
        except FileNotFoundError:
            _create_private(self.path.parent)
            return _open_private(name, flags)

    def _adopt_archives(self) -> None:
        """Rename the archives of an earlier version, and mark the log: other files with such names are not ours."""
        with suppress(OSError):  # the disk is full; the next writer tries again
            for archive in archives(self.path):
                name = archive_path(self.path, archive.start)
                if archive.path != name:
                    archive.path.rename(name)
            if not os.fstat(self._lock_file).st_size:
                os.pwrite(self._lock_file, b"1\n", 0)

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
        self._file = _open_private(str(self.path), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        self._base = archived_end(archives(self.path))
        self._own_size = -1
        return os.fstat(self._file).st_size

    def _rotate(self) -> None:
        self.path.rename(archive_path(self.path, self._base))
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


def _open_private(path: str, flags: int) -> int:
    """Open a file that only its owner can use, whatever the umask; correct its mode if that is different."""
    descriptor = os.open(path, flags, 0o600)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) != 0o600 and status.st_uid == os.geteuid():
        os.fchmod(descriptor, 0o600)
    return descriptor


def _create_private(folder: Path) -> None:
    """Create a folder and the missing ones above it with mode 0700, whatever the umask."""
    missing = [folder, *folder.parents]
    for path in reversed([path for path in missing if not path.exists()]):
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)
