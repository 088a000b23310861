r"""The progress of a run, which the program reports with the terminal escape sequence OSC 9;4.

``ESC ] 9 ; 4 ; state ; percent ST`` is also printed by systemd, cargo and others; ``keiji.progress`` adds a message in
a fourth field. The sequences are removed from the log. The latest progress is kept in a small file per run, so that it
survives a restart of the engine.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from keiji.records import Progress

WRITE_INTERVAL = 0.2  # seconds between two writes of the file; programs report progress far more often
_START = b"\x1b]9;4;"
_MAX_SEQUENCE_BYTES = 512
_MAX_TEXT_LENGTH = 200
_SEQUENCE = re.compile(rb"\x1b\]9;4;([0-4])(?:;(\d{1,3}))?(?:;([^\x07\x1b]*))?(?:\x07|\x1b\\)")
_REMOVE, _ERROR, _INDETERMINATE = b"0", b"2", b"3"


class ProgressFilter:
    """Removes progress sequences from a stream of output. ``latest`` is the progress that the last one reported."""

    def __init__(self) -> None:
        self._partial = b""
        self.latest: Progress | None = None
        self.has_update = False

    def filter(self, chunk: bytes) -> bytes:
        """Return ``chunk`` without sequences; a partial sequence at its end is buffered until the next chunk."""
        data = self._partial + chunk
        self._partial = b""
        if b"\x1b" not in data:  # the usual case
            return data
        data = _SEQUENCE.sub(self._on_sequence, data)
        start = data.rfind(b"\x1b")
        if data.endswith(b"\x1b") and data.rfind(_START, 0, -1) >= 0:
            start = data.rfind(_START, 0, -1)  # this ESC may be the first byte of the terminator
        tail = data[start:] if start >= 0 else b""
        if tail and len(tail) < _MAX_SEQUENCE_BYTES and (_START.startswith(tail) or tail.startswith(_START)):
            self._partial, data = tail, data[:start]
        return data

    def flush(self) -> bytes:
        """Return the buffered bytes at the end of the stream, since they do not complete a sequence."""
        partial, self._partial = self._partial, b""
        return partial

    def _on_sequence(self, match: re.Match[bytes]) -> bytes:
        state, percent, text = match.groups()
        self.has_update = True
        if state == _REMOVE:
            self.latest = None
        else:
            self.latest = Progress(
                fraction=min(int(percent), 100) / 100 if percent and state != _INDETERMINATE else None,
                message=(text or b"").decode("utf-8", "replace")[:_MAX_TEXT_LENGTH],
                is_failing=state == _ERROR,
            )
        return b""


def path_for(runs: Path, run_id: str) -> Path:
    """Return the path of a run's progress file. ``runs`` is the folder of the run files."""
    return runs.parent / "progress" / run_id


def write(path: Path, progress: Progress | None) -> None:
    """Write the progress file, or remove it for None. Errors are ignored: a run must not fail because of them."""
    with contextlib.suppress(OSError):
        if progress is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps([progress.fraction, progress.message, progress.is_failing]))
        temporary.replace(path)


def read_all(runs: Path) -> Iterator[tuple[str, Progress]]:
    """Yield the id and the progress of each run that reports it. ``runs`` is the folder of the run files."""
    try:
        entries = sorted((runs.parent / "progress").iterdir())
    except OSError:
        return
    for path in entries:
        try:
            fraction, message, is_failing = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if not path.name.startswith("."):
            yield path.name, Progress(fraction=fraction, message=message, is_failing=is_failing)
