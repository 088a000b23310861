"""From what clocks show to instants: gaps, folds and all. Facts of zones come from `zoneinfo`."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from keiji.schedule.base import DstFold, DstGap, Occurrence

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)

Candidates = Callable[[datetime], Iterator[datetime]]


def occurrences(
    moment: datetime,
    candidates: Candidates,
    zone: ZoneInfo,
    *,
    gap: DstGap | None = DstGap.AFTER,
    fold: DstFold = DstFold.FIRST,
    is_noted: bool = True,
) -> Iterator[Occurrence]:
    """Yield what comes strictly after ``moment``, in order, of times that clocks in ``zone`` show.

    Args:
        candidates: yields the wanted times of day (without zone) after a given one, in order.
        gap: None where a time that does not exist is not worth a word.
        is_noted: whether occurrences carry notes.
    """
    found = _in_order(moment, candidates, zone, gap, fold)
    latest: datetime | None = None
    for occurrence in found:
        if occurrence.is_skipped:
            yield occurrence
        elif occurrence.at != latest:  # several times in one gap are one instant after it
            latest = occurrence.at
            yield occurrence if is_noted else Occurrence(occurrence.at)


def _in_order(
    moment: datetime, candidates: Candidates, zone: ZoneInfo, gap: DstGap | None, fold: DstFold
) -> Iterator[Occurrence]:
    # In a fold, times that are later by the clock can be earlier as instants: what is found waits here until no later
    # time of day can come before it.
    waiting: list[Occurrence] = []
    known_gap: tuple[datetime, datetime] | None = None  # the first and the last time left out by it, as asked for
    end_of_gap = moment
    try:
        for shown in candidates(_start(moment, zone)):
            earlier, later = _offsets(shown, zone)
            if earlier < later:
                if known_gap is None or not known_gap[0] <= shown <= known_gap[1]:
                    end_of_gap = _end_of_gap(shown, zone)
                    known_gap = (shown, end_of_gap.astimezone(zone).replace(tzinfo=None) - timedelta(microseconds=1))
                first, found = end_of_gap, _in_gap(shown, end_of_gap, gap)
            else:
                first = (shown - earlier).replace(tzinfo=UTC)
                found = [Occurrence(first)] if earlier == later else _in_fold(shown, first, earlier - later, fold)
            while waiting and waiting[0].at <= first:
                yield heapq.heappop(waiting)
            for occurrence in found:
                if occurrence.at > moment:
                    heapq.heappush(waiting, occurrence)
    except OverflowError:
        pass  # the end of what a calendar can hold
    while waiting:
        yield heapq.heappop(waiting)


def _start(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the time of day after which candidates may still lie ahead of ``moment``."""
    local = moment.astimezone(zone)
    shown = local.replace(tzinfo=None, fold=0)
    earlier, later = _offsets(shown, zone)
    if local.fold == 0 and earlier > later:
        return shown - (earlier - later)  # what was shown already in this fold is shown once more
    return shown


def _offsets(shown: datetime, zone: ZoneInfo) -> tuple[timedelta, timedelta]:
    """Return the offsets by which a time of day is read: the same twice, unless clocks change around it."""
    local = shown.replace(tzinfo=zone, fold=0)
    earlier, later = local.utcoffset(), local.replace(fold=1).utcoffset()
    assert earlier is not None
    assert later is not None
    return earlier, later


def _in_gap(shown: datetime, end: datetime, gap: DstGap | None) -> list[Occurrence]:
    if gap is None:
        return []
    if gap is DstGap.SKIP:
        return [Occurrence(end, f"skipped: gap {_clock(shown)}", True)]
    return [Occurrence(end, f"after the gap: {_clock(shown)}")]


def _in_fold(shown: datetime, first: datetime, size: timedelta, fold: DstFold) -> list[Occurrence]:
    both = [
        Occurrence(first, f"first of two {_clock(shown)}"),
        Occurrence(first + size, f"second of two {_clock(shown)}"),
    ]
    return {DstFold.FIRST: both[:1], DstFold.SECOND: both[1:], DstFold.BOTH: both}[fold]


def _clock(shown: datetime) -> str:
    return f"{shown:%H:%M:%S}" if shown.second else f"{shown:%H:%M}"


def _end_of_gap(shown: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant after the gap that ``shown`` lies in, in UTC."""
    earlier, later = _offsets(shown, zone)
    # Read by the offset after the gap it lies before the change, read by the one before it lies after.
    before, after = (shown - later).replace(tzinfo=UTC), (shown - earlier).replace(tzinfo=UTC)
    before, after = before.replace(microsecond=0), after.replace(microsecond=0)
    offset_before = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == offset_before:
            before = middle
        else:
            after = middle
    return after


def instant_of(shown: datetime, zone: ZoneInfo) -> datetime:
    """Return when clocks in ``zone`` first show this, in UTC; in a gap, the first instant after it."""
    earlier, later = _offsets(shown, zone)
    return _end_of_gap(shown, zone) if earlier < later else (shown - earlier).replace(tzinfo=UTC)
