"""Which rows of which lines are on the screen, and where in the file that is. Pure."""

from __future__ import annotations

from collections.abc import Callable

Row = tuple[int, int]  # the index of a line, and which of its rows; it has several where long lines are wrapped
Height = Callable[[int], int]  # how many rows the line of an index takes


def rows_from(index: int, row: int, count: int, lines: int, height: Height) -> list[Row]:
    """Return ``count`` rows at most from one row of one line on, of so many lines."""
    rows: list[Row] = []
    while len(rows) < count and index < lines:
        rows += [(index, number) for number in range(row, height(index))]
        index, row = index + 1, 0
    return rows[:count]


def rows_before(index: int, row: int, count: int, height: Height) -> list[Row]:
    """Return the ``count`` rows at most that end right before one row of one line."""
    rows = [(index, number) for number in reversed(range(row))]
    while len(rows) < count and index > 0:
        index -= 1
        rows += [(index, number) for number in reversed(range(height(index)))]
    return rows[:count][::-1]


def thumb(first: int, last: int, oldest: int, size: int, height: int) -> range:
    """Return which of ``height`` rows stand for what is seen of a file; none where that is all of it."""
    whole = size - oldest
    if whole <= 0 or height <= 0 or (first <= oldest and last >= size):
        return range(0)
    begin = min(height - 1, max(0, int((first - oldest) / whole * height)))
    end = height if last >= size else max(begin + 1, int((last - oldest) / whole * height))
    return range(begin, end)
