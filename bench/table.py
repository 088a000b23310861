"""Why the terminal has a table widget of its own: the cost of ten thousand rows in it and in Textual's DataTable.

Usage: python bench/table.py [rows]

`DataTable` stores every cell and measures every row before it paints the first one. Our `Table` asks for a row when it
paints it. Measures, for each, the time to set all rows, the time until they are painted, and the time to sort them in
the opposite order. Exits with 1 if ours is over its limit.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from textual.app import App, ComposeResult
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable

from keiji_tui.theme.themes import custom_variables
from keiji_tui.widgets.columns import Column
from keiji_tui.widgets.table import Table

ROWS = 10_000
COLUMNS = ("name", "schedule", "next", "last", "took", "runs")
SIZE = (160, 50)
LIMIT = 100.0  # milliseconds, for all that is measured of our table


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds to set all rows, to paint them, and to reverse them with the paint that follows."""

    fill: float
    paint: float
    reverse: float

    @property
    def total(self) -> float:
        return self.fill + self.paint + self.reverse


class Host(App[None]):
    """An application with one widget."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return custom_variables(self.current_theme)

    def compose(self) -> ComposeResult:
        yield self.widget


def cells(key: str) -> list[str]:
    """Return the text of the cells of a row."""
    return [f"{column} of {key}" for column in COLUMNS]


async def measure(widget: Widget, fill: Callable[[], object], reverse: Callable[[], object]) -> Cost:
    """Return what it costs to fill a widget and to reverse its rows."""
    async with Host(widget).run_test(size=SIZE) as pilot:
        await pilot.pause()
        began = time.perf_counter()
        fill()
        filled = time.perf_counter()
        await _painted(widget)
        painted = time.perf_counter()
        reverse()
        await _painted(widget)
        reversed_at = time.perf_counter()
    return Cost((filled - began) * 1000, (painted - filled) * 1000, (reversed_at - painted) * 1000)


async def _painted(widget: Widget) -> None:
    """Wait until the application has painted what was changed."""
    done = asyncio.Event()
    widget.call_after_refresh(done.set)
    await done.wait()


async def measure_data_table(keys: list[str]) -> Cost:
    """Return the costs of Textual's table."""
    table: DataTable[str] = DataTable()

    def fill() -> None:
        for column in COLUMNS:
            table.add_column(column, key=column)
        for key in keys:
            table.add_row(*cells(key), key=key)

    return await measure(table, fill, lambda: table.sort("name", reverse=True))


async def measure_table(keys: list[str]) -> Cost:
    """Return the costs of our table."""

    def describe(key: str) -> Mapping[str, Content]:
        return {column: Content(text) for column, text in zip(COLUMNS, cells(key), strict=True)}

    table = Table([Column(name, name.upper(), 8, 30, number) for number, name in enumerate(COLUMNS)], describe)
    return await measure(table, lambda: table.set_rows(keys), lambda: table.set_rows(keys[::-1]))


async def main(count: int) -> bool:
    """Measure and print both tables; return whether ours is within its limit."""
    keys = [f"row {number:05}" for number in range(count)]
    theirs, ours = await measure_data_table(keys), await measure_table(keys)
    print(f"{count:,} rows                 fill        paint      reverse")
    for name, cost in (("Textual's DataTable", theirs), ("our Table", ours)):
        print(f"{name:<20} {cost.fill:8.1f} ms {cost.paint:9.1f} ms {cost.reverse:9.1f} ms")
    is_within = ours.total <= LIMIT
    print(f"our table in all: {ours.total:.1f} ms, limit {LIMIT:.0f} ms: {'ok' if is_within else 'TOO SLOW'}")
    return is_within


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)) else 1)
