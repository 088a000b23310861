"""Places in several logs at once, and lines of them in the order of their times. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from operator import itemgetter
from typing import NamedTuple

from keiji_tui.logs.chunk import Chunk, Line
from keiji_tui.logs.logfmt import moment_of

Cut = tuple[int, ...]


class OffsetVector(int):
    """A position in merged logs that knows the cut which it stands for."""

    cut: Cut

    @classmethod
    def of(cls, cut: Iterable[int]) -> OffsetVector:
        """Return the position of a cut."""
        parts = tuple(cut)
        place = cls(sum(parts))
        place.cut = parts
        return place


@dataclass(frozen=True, slots=True)
class MergedChunk(Chunk):
    """Whole lines of several logs; ``text`` has them as they stand in the files, in the order of ``made``."""

    made: tuple[Line, ...] = ()

    def behind(self, position: int) -> Chunk:
        return self._part([number for number, line in enumerate(self.made) if line.position >= position])

    def until(self, end: int) -> Chunk:
        return self._part([number for number, line in enumerate(self.made) if line.end <= end])

    def _part(self, numbers: Sequence[int]) -> Chunk:
        if len(numbers) == len(self.made):
            return self
        if not numbers:
            return MergedChunk(self.end, self.end, "")
        texts = self.text.split("\n")[numbers[0] : numbers[-1] + 1]
        made = self.made[numbers[0] : numbers[-1] + 1]
        return MergedChunk(made[0].position, made[-1].end, "".join(f"{text}\n" for text in texts), made)

    def whole(self) -> Chunk:
        return self

    def lines(self) -> list[Line]:
        return list(self.made)

    def joined(self, rest: Sequence[Chunk]) -> Chunk:
        pieces = [self, *rest]
        made = tuple(line for piece in pieces for line in piece.lines())
        return MergedChunk(self.position, pieces[-1].end, "".join(piece.text for piece in pieces), made)


class Entry(NamedTuple):
    """A line of one log on its way into the order of all."""

    time: float
    log: int
    line: Line
    text: str


class SourceBatch:
    """Lines of one log that were read together.

    Args:
        is_last: whether there is nothing beyond them on the side to which one goes.
    """

    def __init__(self, number: int, pieces: Iterable[Chunk], *, is_last: bool) -> None:
        lines = [
            (line, text) for piece in pieces for line, text in zip(piece.lines(), piece.text.split("\n"), strict=False)
        ]
        # A line without a time belongs to the one before it; a clock that was set back does not turn a log round.
        times = accumulate((time_of(line.raw) for line, _ in lines), max)
        self.entries = [Entry(time, number, *line) for time, line in zip(times, lines, strict=True)]
        self.is_last = is_last

    def drop_unknown(self) -> None:
        """Leave out lines at the beginning that belong to one which was not read."""
        known = next((number for number, entry in enumerate(self.entries) if entry.time > -inf), 0)
        if not self.is_last:
            del self.entries[:known]


def time_of(raw: str) -> float:
    """Return when a line was printed, in seconds; minus infinity where it does not say."""
    moment = moment_of(raw)
    return -inf if moment is None else moment.timestamp()


def ordered(strands: Sequence[SourceBatch]) -> list[Entry]:
    """Return all entries by their times; those of one log stay in their order."""
    return sorted((entry for strand in strands for entry in strand.entries), key=itemgetter(0, 1))


def up_to_the_first_gap(strands: Sequence[SourceBatch]) -> list[Entry]:
    """Return the first entries in order, as far as it is certain that none is missing between them."""
    bounds = [strand.entries[-1][:2] for strand in strands if strand.entries and not strand.is_last]
    bound = min(bounds, default=(inf, 0))
    return [entry for entry in ordered(strands) if entry[:2] <= bound]


def from_the_last_gap(strands: Sequence[SourceBatch]) -> list[Entry]:
    """Return the last entries in order, as far back as it is certain that none is missing between them."""
    for strand in strands:
        strand.drop_unknown()
    bounds = [strand.entries[0][:2] for strand in strands if strand.entries and not strand.is_last]
    bound = max(bounds, default=(-inf, 0))
    return [entry for entry in ordered(strands) if entry[:2] >= bound]
