"""Tables that fit the terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from keiji_cli.table import UNLIMITED, Column, Width, format_table

COLUMNS = (
    Column("NAME"),
    Column("RUN", rank=2),
    Column("SCHEDULE", rank=1, min_width=20),
    Column("REASON", min_width=20),
)
ROW = ("ping", "0193d3c1b2f0", "every 10 seconds", "the log could not be written: no space left on device")


def test_without_a_limit_every_column_is_as_wide_as_its_widest_cell() -> None:
    assert format_table(COLUMNS, [ROW], UNLIMITED).splitlines() == [
        "NAME  RUN           SCHEDULE          REASON",
        "ping  0193d3c1b2f0  every 10 seconds  the log could not be written: no space left on device",
    ]


def test_text_is_wrapped_before_a_column_is_dropped() -> None:
    assert format_table(COLUMNS, [ROW], Width(64)).splitlines() == [
        "NAME  RUN           SCHEDULE          REASON",
        "ping  0193d3c1b2f0  every 10 seconds  the log could not be",
        "                                      written: no space left on",
        "                                      device",
    ]


def test_the_least_important_column_is_dropped_first() -> None:
    header, *_ = format_table(COLUMNS, [ROW], Width(50)).splitlines()
    assert header.split() == ["NAME", "SCHEDULE", "REASON"]
    header, *_ = format_table(COLUMNS, [ROW], Width(40)).splitlines()
    assert header.split() == ["NAME", "REASON"]


def test_without_wrapping_each_row_is_one_line_and_the_last_column_is_complete() -> None:
    header, row = format_table(COLUMNS, [ROW], Width(50, wraps=False)).splitlines()
    assert header.split() == ["NAME", "SCHEDULE", "REASON"]
    assert row.endswith(ROW[-1])


def test_text_can_be_cut_instead_of_wrapped() -> None:
    assert format_table(COLUMNS, [ROW], Width(64, cuts=True)).splitlines() == [
        "NAME  RUN           SCHEDULE          REASON",
        "ping  0193d3c1b2f0  every 10 seconds  the log could not be writ…",
    ]


def test_wide_characters_are_aligned() -> None:
    table = format_table((Column("NAME"), Column("STATE")), [("計時", "waiting"), ("ping", "failing")])
    assert table.splitlines() == ["NAME  STATE", "計時  waiting", "ping  failing"]


@given(st.lists(st.text("ab 計é", max_size=40), min_size=1, max_size=5), st.integers(28, 120))
def test_no_line_is_wider_than_the_terminal_and_no_letter_is_lost(cells: list[str], width: int) -> None:
    columns = (Column("NAME"), Column("DETAIL", min_width=20))
    lines = format_table(columns, [("ping", cell) for cell in cells], Width(width)).splitlines()
    assert max(map(cell_len, lines)) <= width
    letters = "".join(line[6:] for line in lines[1:])
    assert letters.replace(" ", "") == "".join(cells).replace(" ", "")
