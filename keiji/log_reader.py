"""Reading a log: a stream of bytes that is kept in files.

The stream goes on in ``<slug>.log``; what is rotated away is ``<slug>.log.<position of its first byte>``. A position in
the stream therefore stays valid across rotation, and nothing but the names of the files says where they begin.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Segment(NamedTuple):
    """A file with a part of the stream, from ``start`` to ``end``."""

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

    def _piece(self, segment: Segment, position: int, length: int) -> bytes:
        # The live segment may have become an archive since it was listed, and an archive may have been pruned.
        for path in (segment.path, Path(f"{self.path}.{segment.start}")):
            try:
                with path.open("rb") as file:
                    if path == self.path and end_of(archives(self.path)) != segment.start:
                        continue
                    file.seek(position - segment.start)
                    return file.read(length)
            except FileNotFoundError:
                continue
        return b""

    def _segments(self) -> list[Segment]:
        """Return the segments in order, the live one last; it is empty where there is no file."""
        while True:
            before = _identity(self.path)
            older = archives(self.path)
            base = end_of(older)
            size = self._size()
            if _identity(self.path) == before:
                return [*older, Segment(base, base + size, self.path)]

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


def end_of(older: list[Segment]) -> int:
    """Return where the stream goes on behind what was rotated away."""
    return older[-1].end if older else 0


def archives(path: Path) -> list[Segment]:
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
                found.append(Segment(int(position), int(position) + archive.stat().st_size, archive))
            except FileNotFoundError:
                continue  # pruned meanwhile
    return sorted(found)
