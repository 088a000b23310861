"""Rows of lines that are wrapped, and the scroll bar."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keiji_tui.widgets.log_layout import rows_before, rows_from, thumb

heights = st.lists(st.integers(1, 5), min_size=1, max_size=20)


@given(heights, st.integers(0, 30), st.data())
def test_rows_before_and_from_a_row_make_up_all_rows(tall: list[int], count: int, data: st.DataObject) -> None:
    every = [(index, row) for index, height in enumerate(tall) for row in range(height)]
    place = data.draw(st.integers(0, len(every) - 1))
    index, row = every[place]
    assert rows_from(index, row, count, len(tall), tall.__getitem__) == every[place : place + count]
    assert rows_before(index, row, count, tall.__getitem__) == every[max(0, place - count) : place]


@given(st.integers(0, 10**10), st.integers(0, 10**10), st.integers(0, 10**10), st.integers(1, 80))
def test_the_thumb_is_on_the_bar_and_is_never_nothing(one: int, two: int, three: int, height: int) -> None:
    first, last, size = sorted((one, two, three))
    rows = thumb(first, last, 0, size, height)
    assert rows or (first == 0 and last == size)
    assert all(0 <= row < height for row in rows)


def test_the_thumb_is_where_one_reads() -> None:
    assert list(thumb(0, 10, 0, 100, 10)) == [0]
    assert list(thumb(50, 60, 0, 100, 10)) == [5]
    assert list(thumb(90, 100, 0, 100, 10)) == [9]
    assert list(thumb(500, 1000, 500, 1000, 10)) == []
