"""The widths of columns: laws for any content, and the order in which columns are hidden."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji_tui.screens import ledger, runs, services, upcoming
from keiji_tui.widgets.columns import GAP, Column, fit_columns
from keiji_tui.widgets.task_row import COLUMNS

TABLES = (COLUMNS, ledger.COLUMNS, runs.COLUMNS, services.COLUMNS, upcoming.COLUMNS)
NARROW = 77  # width of the columns in a terminal of 80
NARROWEST = 37  # cells that a terminal of forty leaves
LONG = {"name": 44, "schedule": 26, "next": 14, "last": 18, "source": 1}

tables = st.sampled_from(TABLES)
cells = st.integers(0, 300)
contents = st.fixed_dictionaries(
    {},
    optional={
        "name": st.integers(1, 120),
        "schedule": st.integers(0, 60),
        "next": st.integers(14, 70),
        "last": st.just(18),
        "source": st.sampled_from([0, 17]),
    },
)


def shown(width: int, content: dict[str, int] | None = None, table: tuple[Column, ...] = COLUMNS) -> dict[str, int]:
    return {column.id: given for column, given in fit_columns(table, LONG if content is None else content, width)}


def free(width: int, given: dict[str, int]) -> int:
    return width - sum(given.values()) - GAP * (len(given) - 1) if given else width


@given(tables, contents, cells)
def test_columns_never_exceed_the_width(table: tuple[Column, ...], content: dict[str, int], width: int) -> None:
    columns = shown(width, content, table)
    assert free(width, columns) >= 0
    assert all(given > 0 for given in columns.values())


@given(tables, contents, cells)
def test_nothing_is_cut_off_while_there_is_space(
    table: tuple[Column, ...], content: dict[str, int], width: int
) -> None:
    columns = shown(width, content, table)
    rest = free(width, columns)
    for column in table:
        missing = column.full_width(content) - columns.get(column.id, 0)
        if column.is_symbol and column.id in columns:
            assert missing <= 0 or missing > rest, "a symbol is spelled out completely or not at all"
        elif column.id in columns:
            assert missing <= 0 or rest == 0
    absent = [column for column in table if column.id not in columns and column.full_width(content)]
    if absent:
        first = min(absent, key=lambda column: column.priority)
        assert rest < min(first.min_width, first.full_width(content)) + GAP, "it would have fitted"


@given(tables, contents, cells)
def test_a_wider_table_never_shows_less(table: tuple[Column, ...], content: dict[str, int], width: int) -> None:
    narrow, wide = shown(width, content, table), shown(width + 1, content, table)
    goals = {column.id: column.full_width(content) for column in table}
    assert narrow.keys() <= wide.keys()
    if narrow.keys() == wide.keys():
        assert all(min(wide[each], goals[each]) >= min(narrow[each], goals[each]) for each in narrow)


@given(contents, st.integers(NARROWEST, 300))
def test_state_name_and_due_time_are_always_shown(content: dict[str, int], width: int) -> None:
    assert {"state", "name", "next"} <= shown(width, content).keys()


def test_names_and_schedules_shrink_before_any_column_is_hidden() -> None:
    gone = [sorted({column.id for column in COLUMNS} - shown(width).keys()) for width in range(250, NARROWEST, -1)]
    steps = list(dict.fromkeys(map(tuple, gone)))
    assert steps == [
        (),
        ("runs",),
        ("runs", "took"),
        ("runs", "schedule", "took"),
        ("last", "runs", "schedule", "took"),
    ]


def test_bars_become_fewer_before_any_column_is_hidden() -> None:
    bars = [shown(width)["runs"] for width in (157, 117, 97)]
    assert bars == [20, 10, 5]
    column = next(column for column in COLUMNS if column.id == "runs")
    assert [column.title_at(count) for count in (20, 10, 5)] == ["LAST 20 RUNS", "LAST RUNS", "RUNS"]


@pytest.mark.parametrize("width", [157, 247])
def test_a_wide_table_cuts_nothing_off(width: int) -> None:
    given = shown(width)
    assert {name: given[name] for name in ("name", "schedule")} == {"name": 44, "schedule": 26}


def test_the_outcome_of_the_last_run_fits_into_eighty_columns() -> None:
    assert shown(77)["last"] >= 15
    assert "took" in shown(77)


def test_at_eighty_columns_every_column_is_shown_also_when_sources_changed() -> None:
    content = {"name": 44, "schedule": 26, "next": 14, "last": 17, "source": 17}
    assert shown(NARROW, content).keys() == {column.id for column in COLUMNS}
    assert shown(NARROW, content)["runs"] == 5


def test_unused_space_goes_to_a_column_whose_content_varies() -> None:
    content = {"name": 12, "schedule": 12, "next": 14, "last": 18, "source": 0}
    assert [shown(width, content)["next"] for width in (77, 117, 247)] == [14, 36, 48]


def test_an_empty_column_takes_no_space() -> None:
    assert "source" not in shown(77, LONG | {"source": 0})
