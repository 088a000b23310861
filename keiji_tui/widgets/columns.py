"""Which columns of a table are shown at a width, and how wide each is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

GAP = 2
_ARROW = 2  # cells of what says behind a title that the order is that of its column
_ENOUGH = 16  # cells: a day and a time, a short name


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. All widths are in terminal cells.

    Args:
        min_width: the column is hidden below this width, unless its content is narrower.
        max_width: preferred maximum. If the content is wider, the column grows beyond it only after all other columns
            have reached theirs.
        priority: columns with lower numbers are placed first; those with the highest are hidden first.
        align_right: whether the content is aligned on the right.
        is_symbol: whether the first character alone carries the meaning, so that it may be cut without an ellipsis.
        truncate_start: whether it is cut at its start; only for content of single-cell characters.
        preferred_width: width that it gets before any other column grows.
        is_shrinkable: whether it shrinks to ``min_width`` before a column of lower priority is hidden.
        growth_limit: width up to which it takes space that no other column needs.
        short_titles: titles used below ``max_width``, the longest first.
    """

    id: str
    title: str
    min_width: int
    max_width: int
    priority: int
    align_right: bool = False
    is_symbol: bool = False
    truncate_start: bool = False
    preferred_width: int = _ENOUGH
    is_shrinkable: bool = False
    growth_limit: int = 0
    short_titles: tuple[str, ...] = ()

    def title_at(self, width: int) -> str:
        """Return the title for so many cells."""
        if width >= self.max_width or not self.short_titles:
            return self.title
        return next((title for title in self.short_titles if len(title) <= width), self.short_titles[-1])

    def full_width(self, wanted: Mapping[str, int]) -> int:
        """Return the cells in which nothing of it is cut."""
        if self.id not in wanted:
            return max(self.min_width, self.max_width)
        titled = cell_len(self.title) + _ARROW if self.title else 0
        return max(wanted[self.id], min(self.min_width, titled))


def fit_columns(columns: Sequence[Column], wanted: Mapping[str, int], available: int) -> list[tuple[Column, int]]:
    """Return the columns that fit into ``available`` cells, in their order, each with its width.

    Those of low rank are shown first. What is left over goes to what is cut, so nothing is cut while there is room.
    A wider screen has every column that a narrower one has.

    Args:
        wanted: id → cells that the content of a column takes, where that is known.
    """
    goals = {column.id: column.full_width(wanted) for column in columns}
    given: dict[str, int] = {}
    spare = available + GAP
    for column in sorted(columns, key=lambda column: column.priority):
        goal = goals[column.id]
        if not goal:
            continue  # it has neither title nor content
        width = min(_needed(column, goal), spare - GAP)
        if width < min(column.min_width, goal):
            break  # a smaller one of higher rank would be gone again on a wider screen
        given[column.id] = width
        spare -= width + GAP
    for column, limit in _growth([column for column in columns if column.id in given], goals):
        more = max(0, limit - given[column.id])
        more = min(spare, more) if more <= spare or not column.is_symbol else 0
        given[column.id] += more
        spare -= more
    return [(column, given[column.id]) for column in columns if column.id in given]


def _needed(column: Column, goal: int) -> int:
    """Return the cells that a column has before one of higher rank is shown."""
    if column.is_symbol or column.is_shrinkable:
        return min(column.min_width, goal)
    return min(goal, max(column.preferred_width, column.min_width))


def _growth(shown: Sequence[Column], goals: Mapping[str, int]) -> Iterator[tuple[Column, int]]:
    """Yield who is given more, one after the other, and up to how much."""
    ranked = sorted(shown, key=lambda column: column.priority)
    texts = [column for column in ranked if not column.is_symbol]
    yield from ((column, min(goals[column.id], column.preferred_width)) for column in texts)
    yield from ((column, min(goals[column.id], column.max_width)) for column in texts)
    yield from ((column, goals[column.id]) for column in texts)
    yield from ((column, goals[column.id]) for column in ranked if column.is_symbol)
    yield from ((column, column.growth_limit) for column in texts)
