"""A log as a stream of bytes that many processes append to, kept in segments.

The stream goes on in ``<slug>.log``; what is rotated away is ``<slug>.log.<position of its first byte>``. A position in
the stream therefore stays valid across rotation, and nothing but the names of the files says where they begin.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from keiji_engine.runner.lines import LogLine, line, parse_line

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
        self._base = _end(_archives(self.path))
        self._end = -1
        return os.fstat(self._file).st_size

    def _rotate(self) -> None:
        self.path.rename(f"{self.path}.{self._base}")
        for archive in _archives(self.path)[:-ARCHIVES]:
            archive.path.unlink(missing_ok=True)

    def _write(self, data: bytes, size: int) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, size)  # the disk is full: half a line would be worse than none
            raise


class _Segment(NamedTuple):
    start: int
    end: int
    path: Path


class LogReader:
    """Reads a log while others write and rotate it. It takes no lock: a writer that hangs does not hold up a reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def size(self) -> int:
        """Return the position after the last byte."""
        return self._segments()[-1].end

    def start(self) -> int:
        """Return the oldest position that is still kept."""
        return self._segments()[0].start

    def read(self, position: int, limit: int) -> tuple[int, bytes]:
        """Return up to ``limit`` bytes from ``position``, and the position at which they really begin.

        That is further on where the log was pruned, and at its end where it is shorter than that. The bytes end with a
        line, unless one line alone is longer than ``limit``; a line that is just being written is left for later.
        """
        segments = self._segments()
        position = min(max(position, segments[0].start), segments[-1].end)
        data = bytearray()
        reached = position
        for segment in segments:
            if segment.end <= reached or len(data) >= limit:
                continue
            if segment.start > reached:  # somebody removed an archive
                if data:
                    break
                position = reached = segment.start
            piece = self._piece(segment, reached, min(limit - len(data), segment.end - reached))
            data += piece
            reached += len(piece)
            if reached < segment.end:
                break
        whole = data.rfind(b"\n") + 1
        return position, bytes(data if not whole and len(data) >= limit else data[:whole])

    def tail(self, lines: int, limit: int) -> tuple[int, bytes]:
        """Return the last whole lines, at most ``lines`` of them and ``limit`` bytes, and where they begin."""
        end = self.size()
        # One byte more tells whether the first line in reach is whole.
        position, data = self.read(end - limit - 1, limit + 1)
        if position > self.start():
            cut = data.find(b"\n") + 1 or len(data)
            position, data = position + cut, data[cut:]
        cut = len(data)
        for _ in range(lines + 1):
            cut = data.rfind(b"\n", 0, cut)
            if cut < 0:
                break
        return (position + cut + 1, data[cut + 1 :]) if lines > 0 else (position + len(data), b"")

    def _piece(self, segment: _Segment, position: int, length: int) -> bytes:
        # The live segment may have become an archive since it was listed, and an archive may have been pruned.
        for path in (segment.path, Path(f"{self.path}.{segment.start}")):
            try:
                with path.open("rb") as file:
                    if path == self.path and _end(_archives(self.path)) != segment.start:
                        continue
                    file.seek(position - segment.start)
                    return file.read(length)
            except FileNotFoundError:
                continue
        return b""

    def _segments(self) -> list[_Segment]:
        """Return the segments in order, the live one last; it is empty where there is no file."""
        while True:
            before = _identity(self.path)
            archives = _archives(self.path)
            base = _end(archives)
            size = self._size()
            if _identity(self.path) == before:
                return [*archives, _Segment(base, base + size, self.path)]

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _end(archives: list[_Segment]) -> int:
    return archives[-1].end if archives else 0


def _archives(path: Path) -> list[_Segment]:
    """Return what was rotated away and is still kept, oldest first."""
    found = []
    beginning = f"{path.name}."
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except FileNotFoundError:
        return []
    for name in names:
        position = name.removeprefix(beginning)
        if name.startswith(beginning) and position.isascii() and position.isdigit():
            archive = path.with_name(name)
            try:
                found.append(_Segment(int(position), int(position) + archive.stat().st_size, archive))
            except FileNotFoundError:
                continue  # pruned meanwhile
    return sorted(found)
