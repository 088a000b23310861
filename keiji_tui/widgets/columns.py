"""Which columns of a table are shown at a width, and how wide each is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GAP = 2
_MODEST = 16  # cells that a column gets before those of higher rank get any


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        least: cells below which it is not worth showing.
        most: cells that it takes when there is room, unless the content says otherwise.
        rank: who goes first when there is no room: the highest rank.
        right: whether it is aligned on the right.
        is_mark: whether its first letter alone says it too, so that it is cut without an ellipsis.
        keeps_end: whether it is cut at its beginning; for content of letters that are one cell wide.
        grows: whether it takes what no other column wants, up to its ``most``: it has more to say now and then.
    """

    id: str
    title: str
    least: int
    most: int
    rank: int
    right: bool = False
    is_mark: bool = False
    keeps_end: bool = False
    grows: bool = False


def widths(columns: Sequence[Column], wanted: Mapping[str, int], available: int) -> list[tuple[Column, int]]:
    """Return the columns that fit into ``available`` cells, in their order, each with its width.

    A column is shown where those of lower rank keep what they want; none takes over a quarter before.

    Args:
        wanted: id → cells that the content of a column would take; limited to its ``most``.
    """
    goal = {column.id: max(column.least, min(wanted.get(column.id, column.most), column.most)) for column in columns}
    given: dict[str, int] = {}
    spare = available + GAP
    for column in sorted(columns, key=lambda column: column.rank):
        modest = column.least if column.is_mark else min(goal[column.id], max(_MODEST, available // 4))
        width = min(modest, spare - GAP)
        if width >= column.least:
            given[column.id] = width
            spare -= width + GAP
    for column in sorted(columns, key=lambda column: column.rank):
        if column.id in given:
            more = goal[column.id] - given[column.id]
            more = min(spare, more) if more <= spare or not column.is_mark else 0
            given[column.id] += more
            spare -= more
    for column in columns:
        if column.grows and column.id in given:
            more = max(0, min(spare, column.most - given[column.id]))
            given[column.id] += more
            spare -= more
    return [(column, given[column.id]) for column in columns if column.id in given]
