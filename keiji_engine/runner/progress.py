r"""How far a run has got, as it says itself with the terminal's own progress sequence, OSC 9;4.

``ESC ] 9 ; 4 ; state ; per cent ST``, as systemd, cargo and others print it; ``keiji.progress`` adds words in a fourth
field. The sequence is taken out of what is logged. What it said stands in a small file, for whoever looks after the run
now: an engine may come and go meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from keiji.records import Progress

INTERVAL = 0.2  # seconds between two writes; programs tell of progress far more often
_BEGIN = b"\x1b]9;4;"
_LONGEST = 512  # bytes of a sequence; what goes on for longer is none
_SEQUENCE = re.compile(rb"\x1b\]9;4;([0-4])(?:;(\d{1,3}))?(?:;([^\x07\x1b]*))?(?:\x07|\x1b\\)")
_GONE, _PLAIN, _FAILING, _UNKNOWN = b"0", b"1", b"2", b"3"


class ProgressFilter:
    """Takes the sequences out of what one pipe brings; ``latest`` is what the last one said."""

    def __init__(self) -> None:
        self._kept = b""
        self.latest: Progress | None = None
        self.is_new = False

    def sift(self, chunk: bytes) -> bytes:
        """Return ``chunk`` without sequences; the beginning of one is kept until the next chunk completes it."""
        data = self._kept + chunk
        self._kept = b""
        if b"\x1b" not in data:  # nearly always
            return data
        data = _SEQUENCE.sub(self._heard, data)
        last = data.rfind(b"\x1b")
        if data.endswith(b"\x1b") and data.rfind(_BEGIN, 0, -1) >= 0:
            last = data.rfind(_BEGIN, 0, -1)  # the first half of the end of a sequence
        tail = data[last:] if last >= 0 else b""
        if tail and len(tail) < _LONGEST and (_BEGIN.startswith(tail) or tail.startswith(_BEGIN)):
            self._kept, data = tail, data[:last]
        return data

    def rest(self) -> bytes:
        """Return what was kept, at the end of the stream: it was no sequence."""
        kept, self._kept = self._kept, b""
        return kept

    def _heard(self, found: re.Match[bytes]) -> bytes:
        state, per_cent, words = found.groups()
        self.is_new = True
        if state == _GONE:
            self.latest = None
        else:
            self.latest = Progress(
                fraction=min(int(per_cent), 100) / 100 if per_cent and state != _UNKNOWN else None,
                message=(words or b"").decode("utf-8", "replace")[:200],
                is_failing=state == _FAILING,
            )
        return b""


def path_of(runs: Path, run_id: str) -> Path:
    """Return the file that says how far the run got whose own file is in the folder ``runs``."""
    return runs.parent / "progress" / run_id


def write(path: Path, progress: Progress | None) -> None:
    """Say how far a run has got; None to say nothing. What cannot be written is not worth a run."""
    with contextlib.suppress(OSError):
        if progress is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(mode=0o700, exist_ok=True)
        draft = path.with_name(f".{path.name}")
        draft.write_text(json.dumps([progress.fraction, progress.message, progress.is_failing]))
        draft.replace(path)


def read_all(runs: Path) -> Iterator[tuple[str, Progress]]:
    """Yield the id of each run that says how far it has got, and what it says."""
    try:
        entries = sorted((runs.parent / "progress").iterdir())
    except OSError:
        return
    for path in entries:
        try:
            fraction, words, is_failing = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if not path.name.startswith("."):
            yield path.name, Progress(fraction=fraction, message=words, is_failing=is_failing)
