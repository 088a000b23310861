"""The rows of wrapped log lines, and the thumb of the scroll bar."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keiji_tui.logs.layout import rows_before, rows_from, thumb

line_heights = st.lists(st.integers(1, 5), min_size=1, max_size=20)


@given(line_heights, st.integers(0, 30), st.data())
def test_rows_before_and_from_a_position_make_up_all_rows(heights: list[int], count: int, data: st.DataObject) -> None:
    all_rows = [(index, row) for index, height in enumerate(heights) for row in range(height)]
    start = data.draw(st.integers(0, len(all_rows) - 1))
    index, row = all_rows[start]
    assert rows_from(index, row, count, len(heights), heights.__getitem__) == all_rows[start : start + count]
    assert rows_before(index, row, count, heights.__getitem__) == all_rows[max(0, start - count) : start]


@given(st.integers(0, 10**10), st.integers(0, 10**10), st.integers(0, 10**10), st.integers(1, 80))
def test_the_thumb_is_within_the_bar_and_not_empty_unless_everything_is_visible(
    one: int, two: int, three: int, height: int
) -> None:
    first, last, size = sorted((one, two, three))
    rows = thumb(first, last, 0, size, height)
    assert rows or (first == 0 and last == size)
    assert all(0 <= row < height for row in rows)


def test_the_thumb_shows_which_part_of_the_log_is_visible() -> None:
    assert list(thumb(0, 10, 0, 100, 10)) == [0]
    assert list(thumb(50, 60, 0, 100, 10)) == [5]
    assert list(thumb(90, 100, 0, 100, 10)) == [9]
    assert list(thumb(500, 1000, 500, 1000, 10)) == []
