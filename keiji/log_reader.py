"""Reads a log: a stream of bytes that is stored in several files.

The newest bytes are in ``<slug>.log``; rotated files, the archives, are named ``<slug>.log.<position of the first
byte>.keiji``. Positions in the stream therefore stay valid across rotation, and no index is needed. Any other file
beside the log belongs to another program, such as logrotate or an editor.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_ARCHIVE = re.compile(r"\.([0-9]+)\.keiji")
_FORMER_ARCHIVE = re.compile(r"\.([0-9]+)")  # the name in version 0.1, which other programs use as well


class Segment(NamedTuple):
    """A file that contains the bytes of the stream from position ``start`` up to ``end``."""

    start: int
    end: int
    path: Path


class LogReader:
    """Reads a log that other processes append to and rotate. It takes no lock, so a hung writer cannot block it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def size(self) -> int:
        """Return the position after the last byte."""
        return self._segments()[-1].end

    def start(self) -> int:
        """Return the position of the oldest byte that is still stored."""
        return self._segments()[0].start

    def read(self, position: int, limit: int) -> tuple[int, bytes]:
        """Return up to ``limit`` bytes from ``position``, and the position at which they actually begin.

        The actual position is higher if the log was pruned, and lower if ``position`` is beyond its end. Only whole
        lines are returned, except for a line longer than ``limit``; an incomplete last line is omitted.
        """
        segments = self._segments()
        position = min(max(position, segments[0].start), segments[-1].end)
        data = bytearray()
        reached = position
        for segment in segments:
            if segment.end <= reached or len(data) >= limit:
                continue
            if segment.start > reached:  # an archive was deleted
                if data:
                    break
                position = reached = segment.start
            chunk = self._read_segment(segment, reached, min(limit - len(data), segment.end - reached))
            data += chunk
            reached += len(chunk)
            if reached < segment.end:
                break
        complete_length = data.rfind(b"\n") + 1
        return position, bytes(data if not complete_length and len(data) >= limit else data[:complete_length])

    def tail(self, lines: int, limit: int) -> tuple[int, bytes]:
        """Return the last whole lines, up to ``lines`` lines and ``limit`` bytes, and the position of the first."""
        end = self.size()
        # One extra byte shows whether the first line in range is whole.
        position, data = self.read(end - limit - 1, limit + 1)
        if position > self.start():
            first_line = data.find(b"\n") + 1 or len(data)
            position, data = position + first_line, data[first_line:]
        newline = len(data)
        for _ in range(lines + 1):
            newline = data.rfind(b"\n", 0, newline)
            if newline < 0:
                break
        return (position + newline + 1, data[newline + 1 :]) if lines > 0 else (position + len(data), b"")

    def _read_segment(self, segment: Segment, position: int, length: int) -> bytes:
        # Since the segments were listed, the live one may have been rotated, and an archive may have been pruned.
        for path in (segment.path, archive_path(self.path, segment.start)):
            try:
                with path.open("rb") as file:
                    if path == self.path and archived_end(archives(self.path)) != segment.start:
                        continue
                    file.seek(position - segment.start)
                    return file.read(length)
            except FileNotFoundError:
                continue
        return b""

    def _segments(self) -> list[Segment]:
        """Return the segments in order. The last one is the live file; it is empty if the file does not exist."""
        while True:
            before = _file_id(self.path)
            archived = archives(self.path)
            base = archived_end(archived)
            size = self._size()
            if _file_id(self.path) == before:  # otherwise the log was rotated in between
                return [*archived, Segment(base, base + size, self.path)]

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0


def _file_id(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file; None if it does not exist."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def archived_end(archived: list[Segment]) -> int:
    """Return the position after the last archived byte, which is where the live file begins."""
    return archived[-1].end if archived else 0


def archive_path(path: Path, start: int) -> Path:
    """Return the name of the archive of the log ``path`` that begins at position ``start``."""
    return path.with_name(f"{path.name}.{start:015}.keiji")


def archives(path: Path) -> list[Segment]:
    """Return the rotated files of the log ``path``, oldest first."""
    own: dict[int, Segment] = {}
    former: dict[int, Segment] = {}
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    for name in names:
        if not name.startswith(path.name):
            continue
        suffix = name[len(path.name) :]
        match = _ARCHIVE.fullmatch(suffix)
        found = own if match else former
        match = match or _FORMER_ARCHIVE.fullmatch(suffix)
        if match is not None:
            start, archive = int(match[1]), path.with_name(name)
            try:
                found[start] = Segment(start, start + archive.stat().st_size, archive)
            except FileNotFoundError:
                continue  # pruned since the folder was listed
    if former:
        own = _former_archives(path, own, former) | own
    return sorted(own.values())


def _former_archives(path: Path, own: dict[int, Segment], former: dict[int, Segment]) -> dict[int, Segment]:
    """Return those of the ``former`` files that are archives of version 0.1.

    A file of another program that is named ``<slug>.log.<number>`` does not begin or end exactly where an archive ends
    or begins. The first writer after the upgrade renames the archives; until then, they are recognised without an
    archive of this version beside them.
    """
    known = list(own.values())
    if not has_marker(path):
        known += (segment for segment in former.values() if segment.start == 0 or _adjoins(segment, former.values()))
    accepted: dict[int, Segment] = {}
    remaining = dict(former)
    while adjacent := [segment for segment in remaining.values() if segment in known or _adjoins(segment, known)]:
        for segment in adjacent:
            accepted[segment.start] = remaining.pop(segment.start)
        known += adjacent
    return accepted


def _adjoins(segment: Segment, others: Iterable[Segment]) -> bool:
    return segment.start < segment.end and any(
        other.start < other.end and (other.end == segment.start or other.start == segment.end) for other in others
    )


def has_marker(path: Path) -> bool:
    """Return whether a writer of this version has used the log: then its lock file is not empty."""
    try:
        return Path(f"{path}.lock").stat().st_size > 0
    except FileNotFoundError:
        return False
