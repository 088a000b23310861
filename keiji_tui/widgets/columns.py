"""Distributes the width of a table among its columns. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

GAP = 2
_ARROW = 2  # cells of the sort arrow after a title
_PREFERRED_WIDTH = 16  # enough for a day and a time, or a short name


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
    preferred_width: int = _PREFERRED_WIDTH
    is_shrinkable: bool = False
    growth_limit: int = 0
    short_titles: tuple[str, ...] = ()

    def title_at(self, width: int) -> str:
        """Return the title for a column of that width."""
        if width >= self.max_width or not self.short_titles:
            return self.title
        return next((title for title in self.short_titles if len(title) <= width), self.short_titles[-1])

    def full_width(self, content_widths: Mapping[str, int]) -> int:
        """Return the width at which nothing is cut off."""
        if self.id not in content_widths:
            return max(self.min_width, self.max_width)
        title_width = cell_len(self.title) + _ARROW if self.title else 0
        return max(content_widths[self.id], min(self.min_width, title_width))


def fit_columns(
    columns: Sequence[Column], content_widths: Mapping[str, int], available: int
) -> list[tuple[Column, int]]:
    """Return the columns that fit into ``available`` cells, in their order, each with its width.

    Columns are placed by priority. The remaining space goes to columns whose content is cut off, so that nothing is
    cut off while there is space. A wider table has every column that a narrower one has.

    Args:
        content_widths: id → width of the content of a column, if known.
    """
    full_widths = {column.id: column.full_width(content_widths) for column in columns}
    widths: dict[str, int] = {}
    spare = available + GAP
    for column in sorted(columns, key=lambda column: column.priority):
        full_width = full_widths[column.id]
        if not full_width:
            continue  # neither title nor content
        width = min(_needed(column, full_width), spare - GAP)
        if width < min(column.min_width, full_width):
            break  # a narrower column of lower priority would disappear again in a wider table
        widths[column.id] = width
        spare -= width + GAP
    for column, limit in _growth([column for column in columns if column.id in widths], full_widths):
        more = max(0, limit - widths[column.id])
        more = min(spare, more) if more <= spare or not column.is_symbol else 0
        widths[column.id] += more
        spare -= more
    return [(column, widths[column.id]) for column in columns if column.id in widths]


def _needed(column: Column, full_width: int) -> int:
    """Return the width that a column gets before the next one is placed."""
    if column.is_symbol or column.is_shrinkable:
        return min(column.min_width, full_width)
    return min(full_width, max(column.preferred_width, column.min_width))


def _growth(shown: Sequence[Column], full_widths: Mapping[str, int]) -> Iterator[tuple[Column, int]]:
    """Yield the columns that grow, in order, each with the width up to which it grows."""
    ranked = sorted(shown, key=lambda column: column.priority)
    texts = [column for column in ranked if not column.is_symbol]
    yield from ((column, min(full_widths[column.id], column.preferred_width)) for column in texts)
    yield from ((column, min(full_widths[column.id], column.max_width)) for column in texts)
    yield from ((column, full_widths[column.id]) for column in texts)
    yield from ((column, full_widths[column.id]) for column in ranked if column.is_symbol)
    yield from ((column, column.growth_limit) for column in texts)
