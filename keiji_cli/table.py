"""Tables that fit the width of the terminal: text is wrapped or cut, then the least important columns are dropped."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

_GAP = "  "


class Column(NamedTuple):
    """A column of a table.

    Args:
        title: its header.
        rank: its importance: of the columns that do not fit, the one with the highest rank is dropped first. A column
            of rank 0 is never dropped.
        min_width: how narrow it may become, with its text continued on further lines; None to keep it on one line.
    """

    title: str
    rank: int = 0
    min_width: int | None = None

    def narrowest(self, width: int) -> int:
        """Return the width down to which a column of ``width`` can be narrowed."""
        return width if self.min_width is None else min(width, self.min_width)


class Width(NamedTuple):
    """How much room there is for a table.

    Args:
        columns: number of terminal columns that the table may take; None for no limit.
        wraps: whether long text is wrapped. Without a terminal, every row stays on one line, so that it can be piped
            into other programs; text in the last column may then exceed the limit.
        cuts: whether long text is cut instead.
    """

    columns: int | None = None
    wraps: bool = True
    cuts: bool = False


UNLIMITED = Width()


def output_width() -> Width:
    """Return the width of the terminal, or of the variable COLUMNS; without both, 80 columns without wrapping."""
    has_width = sys.stdout.isatty() or bool(os.environ.get("COLUMNS"))
    return Width(shutil.get_terminal_size().columns if has_width else 80, wraps=has_width)


def format_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: Width = UNLIMITED) -> str:
    """Return rows under a header.

    Characters that take two terminal columns, such as those of 計時, are counted as two.
    """
    shown = _fitting(columns, rows, width)
    lines = [[columns[index].title for index in shown], *([row[index] for index in shown] for row in rows)]
    widths = _widths([columns[index] for index in shown], lines, width)
    return "\n".join(text for line in lines for text in _format_row(line, widths, width))


def _fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: Width) -> list[int]:
    """Return the indexes of the columns that fit."""
    shown = list(range(len(columns)))
    while width.columns is not None:
        needed = len(_GAP) * (len(shown) - 1)
        for index in shown:
            natural = max(_cells(text) for text in (columns[index].title, *(row[index] for row in rows)))
            needed += columns[index].narrowest(natural)
        droppable = [index for index in shown if columns[index].rank]
        if needed <= width.columns or not droppable:
            break
        shown.remove(max(droppable, key=lambda index: columns[index].rank))
    return shown


def _widths(columns: Sequence[Column], lines: Sequence[Sequence[str]], width: Width) -> list[int]:
    widths = [max(_cells(line[index]) for line in lines) for index in range(len(columns))]
    if width.columns is None:
        return widths
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width.columns
    # The last columns are narrowed first: they hold the details.
    for index in reversed(range(len(columns))):
        if excess > 0:
            narrowed = max(widths[index] - excess, columns[index].narrowest(widths[index]))
            excess -= widths[index] - narrowed
            widths[index] = narrowed
    return widths


def _format_row(cells: Sequence[str], widths: Sequence[int], width: Width) -> Iterator[str]:
    if width.cuts:
        yield _GAP.join(_fit(cell, size) for cell, size in zip(cells, widths, strict=True)).rstrip()
        return
    if not width.wraps:
        *others, last = cells
        yield _GAP.join([*(_fit(cell, width) for cell, width in zip(others, widths, strict=False)), last]).rstrip()
        return
    wrapped = [_wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for parts in zip_longest(*wrapped, fillvalue=""):
        yield _GAP.join(_pad(part, width) for part, width in zip(parts, widths, strict=True)).rstrip()


def _fit(text: str, width: int) -> str:
    from rich.cells import set_cell_size

    return _pad(text, width) if _cells(text) <= width else set_cell_size(text, width - 1) + "…"


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _cells(text))


def _wrap(text: str, width: int) -> list[str]:
    from rich.cells import chop_cells

    lines = [""]
    for word in text.split(" ") if _cells(text) > width else [text]:
        if lines[-1] and _cells(lines[-1]) + 1 + _cells(word) <= width:
            lines[-1] += f" {word}"
            continue
        parts = chop_cells(word, width) if _cells(word) > width else [word]
        lines = [*(lines if lines[-1] else lines[:-1]), *parts]
    return lines


def _cells(text: str) -> int:
    """Return the number of terminal columns that ``text`` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
