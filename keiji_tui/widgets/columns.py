"""Which columns of a table are shown at a width, and how wide each is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        least: cells below which it is not worth showing.
        most: cells that it takes when there is room, unless the content says otherwise.
        rank: who goes first when there is no room: the highest rank.
        right: whether it is aligned on the right.
    """

    id: str
    title: str
    least: int
    most: int
    rank: int
    right: bool = False


def widths(columns: Sequence[Column], wanted: Mapping[str, int], available: int) -> list[tuple[Column, int]]:
    """Return the columns that fit into ``available`` cells, in their order, each with its width.

    Args:
        wanted: id → cells that the content of a column would take; limited to its ``most``.
    """
    goal = {column.id: max(column.least, min(wanted.get(column.id, column.most), column.most)) for column in columns}
    chosen = list(columns)
    while len(chosen) > 1 and sum(column.least for column in chosen) + GAP * (len(chosen) - 1) > available:
        chosen.remove(max(chosen, key=lambda column: column.rank))
    given = {column.id: column.least for column in chosen}
    spare = available - sum(given.values()) - GAP * (len(chosen) - 1)
    for column in sorted(chosen, key=lambda column: column.rank):
        more = max(0, min(spare, goal[column.id] - column.least))
        given[column.id] += more
        spare -= more
    if len(chosen) == 1:
        given[chosen[0].id] = max(1, available)
    return [(column, given[column.id]) for column in chosen]
