"""Maps wall-clock times to instants, across daylight saving gaps and folds. Offsets come from `zoneinfo`.

A wall-clock time is a naive datetime: what a clock in a zone shows. In a gap it does not exist; in a fold it occurs
twice.
"""

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
    instant: datetime,
    candidates: Candidates,
    zone: ZoneInfo,
    *,
    gap: DstGap | None = DstGap.AFTER,
    fold: DstFold = DstFold.FIRST,
    with_notes: bool = True,
) -> Iterator[Occurrence]:
    """Yield the occurrences strictly after ``instant``, in order, of wall-clock times in ``zone``.

    Args:
        candidates: yields the wanted wall-clock times after a given one, in order.
        gap: None to omit times in a gap silently.
        with_notes: whether occurrences carry notes about daylight saving.
    """
    latest: datetime | None = None
    for occurrence in _in_order(instant, candidates, zone, gap, fold):
        if occurrence.is_skipped:
            yield occurrence
        elif occurrence.at != latest:  # several times in one gap are due once, after it
            latest = occurrence.at
            yield occurrence if with_notes else Occurrence(occurrence.at)


def _in_order(
    instant: datetime, candidates: Candidates, zone: ZoneInfo, gap: DstGap | None, fold: DstFold
) -> Iterator[Occurrence]:
    # In a fold, a later wall-clock time can be an earlier instant, so occurrences are held back on a heap until no
    # later candidate can precede them.
    pending: list[Occurrence] = []
    known_gap: tuple[datetime, datetime] | None = None  # first and last wall-clock time known to be in one gap
    end_of_gap = instant
    try:
        for wall_time in candidates(_search_start(instant, zone)):
            earlier, later = _offsets(wall_time, zone)
            if earlier < later:
                if known_gap is None or not known_gap[0] <= wall_time <= known_gap[1]:
                    end_of_gap = _end_of_gap(wall_time, zone)
                    last_in_gap = end_of_gap.astimezone(zone).replace(tzinfo=None) - timedelta(microseconds=1)
                    known_gap = (wall_time, last_in_gap)
                first, resolved = end_of_gap, _in_gap(wall_time, end_of_gap, gap)
            else:
                first = (wall_time - earlier).replace(tzinfo=UTC)
                is_unique = earlier == later
                resolved = [Occurrence(first)] if is_unique else _in_fold(wall_time, first, earlier - later, fold)
            while pending and pending[0].at <= first:
                yield heapq.heappop(pending)
            for occurrence in resolved:
                if occurrence.at > instant:
                    heapq.heappush(pending, occurrence)
    except OverflowError:
        pass  # beyond datetime.max
    while pending:
        yield heapq.heappop(pending)


def _search_start(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return the wall-clock time after which every candidate later than ``instant`` lies."""
    local = instant.astimezone(zone)
    wall_time = local.replace(tzinfo=None, fold=0)
    earlier, later = _offsets(wall_time, zone)
    if local.fold == 0 and earlier > later:
        return wall_time - (earlier - later)  # clocks will show the elapsed part of the fold again
    return wall_time


def _offsets(wall_time: datetime, zone: ZoneInfo) -> tuple[timedelta, timedelta]:
    """Return the UTC offsets of a wall-clock time for fold 0 and 1; they differ only in a gap or a fold."""
    local = wall_time.replace(tzinfo=zone, fold=0)
    earlier, later = local.utcoffset(), local.replace(fold=1).utcoffset()
    assert earlier is not None
    assert later is not None
    return earlier, later


def _in_gap(wall_time: datetime, end: datetime, gap: DstGap | None) -> list[Occurrence]:
    if gap is None:
        return []
    if gap is DstGap.SKIP:
        return [Occurrence(end, f"skipped: gap {_format_clock(wall_time)}", True)]
    return [Occurrence(end, f"after the gap: {_format_clock(wall_time)}")]


def _in_fold(wall_time: datetime, first: datetime, size: timedelta, fold: DstFold) -> list[Occurrence]:
    both = [
        Occurrence(first, f"first of two {_format_clock(wall_time)}"),
        Occurrence(first + size, f"second of two {_format_clock(wall_time)}"),
    ]
    return {DstFold.FIRST: both[:1], DstFold.SECOND: both[1:], DstFold.BOTH: both}[fold]


def _format_clock(wall_time: datetime) -> str:
    return f"{wall_time:%H:%M:%S}" if wall_time.second else f"{wall_time:%H:%M}"


def _end_of_gap(wall_time: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant, in UTC, after the gap that contains ``wall_time``."""
    earlier, later = _offsets(wall_time, zone)
    # Converted with the offset after the gap, the time lies before the transition; with the one before it, after.
    before, after = (wall_time - later).replace(tzinfo=UTC), (wall_time - earlier).replace(tzinfo=UTC)
    before, after = before.replace(microsecond=0), after.replace(microsecond=0)
    offset_before = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == offset_before:
            before = middle
        else:
            after = middle
    return after


def instant_of(wall_time: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant, in UTC, at which clocks in ``zone`` show ``wall_time``; in a gap, its end."""
    earlier, later = _offsets(wall_time, zone)
    return _end_of_gap(wall_time, zone) if earlier < later else (wall_time - earlier).replace(tzinfo=UTC)
