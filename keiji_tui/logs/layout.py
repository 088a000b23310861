"""Which rows of which lines are on the screen, and the thumb of the scroll bar. Pure."""

from __future__ import annotations

from collections.abc import Callable

Row = tuple[int, int]  # index of a line and number of one of its rows; a wrapped line has several
Height = Callable[[int], int]  # returns the number of rows of the line at an index


def rows_from(index: int, row: int, count: int, line_count: int, height: Height) -> list[Row]:
    """Return up to ``count`` rows, beginning with row ``row`` of the line at ``index``."""
    rows: list[Row] = []
    while len(rows) < count and index < line_count:
        rows += [(index, number) for number in range(row, height(index))]
        index, row = index + 1, 0
    return rows[:count]


def rows_before(index: int, row: int, count: int, height: Height) -> list[Row]:
    """Return up to ``count`` rows that end before row ``row`` of the line at ``index``."""
    rows = [(index, number) for number in reversed(range(row))]
    while len(rows) < count and index > 0:
        index -= 1
        rows += [(index, number) for number in reversed(range(height(index)))]
    return rows[:count][::-1]


def thumb(first: int, last: int, oldest: int, size: int, height: int) -> range:
    """Return the rows of the scroll bar's thumb; empty if the whole log is visible.

    Args:
        first, last: bounds of the visible part, in bytes.
        oldest, size: bounds of the log, in bytes.
        height: rows of the scroll bar.
    """
    total = size - oldest
    if total <= 0 or height <= 0 or (first <= oldest and last >= size):
        return range(0)
    begin = min(height - 1, max(0, int((first - oldest) / total * height)))
    end = height if last >= size else max(begin + 1, int((last - oldest) / total * height))
    return range(begin, end)
