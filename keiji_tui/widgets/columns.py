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
    """A column of a table.

    Args:
        least: cells below which it is not worth showing, unless it has less to say.
        most: cells that it takes when there is room. Where its content is known it takes no more than that, and more
            than ``most`` once all others have theirs.
        rank: who goes first when there is no room: the highest rank.
        right: whether it is aligned on the right.
        is_mark: whether its first letter alone says it too, so that it is cut without an ellipsis.
        keeps_end: whether it is cut at its beginning; for content of letters that are one cell wide.
        enough: cells that it gets before any other one gets more.
        shrinks: whether it goes down to its ``least`` before another one is left out.
        grows: cells up to which it takes what no other column wants: it has more to say now and then.
        brief: what stands in place of the title where there is less than ``most``, the longest first.
    """

    id: str
    title: str
    least: int
    most: int
    rank: int
    right: bool = False
    is_mark: bool = False
    keeps_end: bool = False
    enough: int = _ENOUGH
    shrinks: bool = False
    grows: int = 0
    brief: tuple[str, ...] = ()

    def title_at(self, width: int) -> str:
        """Return the title for so many cells."""
        if width >= self.most or not self.brief:
            return self.title
        return next((title for title in self.brief if len(title) <= width), self.brief[-1])

    def goal(self, wanted: Mapping[str, int]) -> int:
        """Return the cells in which nothing of it is cut."""
        if self.id not in wanted:
            return max(self.least, self.most)
        titled = cell_len(self.title) + _ARROW if self.title else 0
        return max(wanted[self.id], min(self.least, titled))


def widths(columns: Sequence[Column], wanted: Mapping[str, int], available: int) -> list[tuple[Column, int]]:
    """Return the columns that fit into ``available`` cells, in their order, each with its width.

    Those of low rank are shown first. What is left over goes to what is cut, so nothing is cut while there is room.
    A wider screen has every column that a narrower one has.

    Args:
        wanted: id → cells that the content of a column takes, where that is known.
    """
    goals = {column.id: column.goal(wanted) for column in columns}
    given: dict[str, int] = {}
    spare = available + GAP
    for column in sorted(columns, key=lambda column: column.rank):
        goal = goals[column.id]
        if not goal:
            continue  # it has neither title nor content
        width = min(_needed(column, goal), spare - GAP)
        if width < min(column.least, goal):
            break  # a smaller one of higher rank would be gone again on a wider screen
        given[column.id] = width
        spare -= width + GAP
    for column, limit in _growth([column for column in columns if column.id in given], goals):
        more = max(0, limit - given[column.id])
        more = min(spare, more) if more <= spare or not column.is_mark else 0
        given[column.id] += more
        spare -= more
    return [(column, given[column.id]) for column in columns if column.id in given]


def _needed(column: Column, goal: int) -> int:
    """Return the cells that a column has before one of higher rank is shown."""
    if column.is_mark or column.shrinks:
        return min(column.least, goal)
    return min(goal, max(column.enough, column.least))


def _growth(shown: Sequence[Column], goals: Mapping[str, int]) -> Iterator[tuple[Column, int]]:
    """Yield who is given more, one after the other, and up to how much."""
    ranked = sorted(shown, key=lambda column: column.rank)
    texts = [column for column in ranked if not column.is_mark]
    yield from ((column, min(goals[column.id], column.enough)) for column in texts)
    yield from ((column, min(goals[column.id], column.most)) for column in texts)
    yield from ((column, goals[column.id]) for column in texts)
    yield from ((column, goals[column.id]) for column in ranked if column.is_mark)
    yield from ((column, column.grows) for column in texts)
