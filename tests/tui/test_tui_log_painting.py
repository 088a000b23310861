"""How rows of a log are painted: without filling the caches of Textual, and with wide characters cut correctly."""

from __future__ import annotations

from piloting import log, press, running, sees
from rich.segment import Segment
from scenes import before, center
from test_tui_log_finding import opened
from test_tui_log_reading import LINE, lines, long_log
from textual.geometry import Region
from textual.strip import Strip
from waiting import until

from keiji_tui.app import ControlCenter


def painted(app: ControlCenter) -> list[Strip]:
    """Return the rows of the log as they are painted."""
    view = log(app)
    return view.render_lines(Region(0, 0, *view.size))


async def test_rows_are_painted_in_the_same_styles_wherever_they_are_in_the_log() -> None:
    """Textual caches the output for 16,384 styles; a style for each position in the log made it grow by 13 MB."""
    app = center(long_log(lines(0, 5_000)))
    async with running(app) as pilot:
        await opened(pilot, app, "line 0004999")
        first = {segment.style for strip in painted(app) for segment in strip}
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0000000"))
        assert {segment.style for strip in painted(app) for segment in strip} == first
        assert all(segment.style is None or not segment.style.meta for strip in painted(app) for segment in strip)


async def test_long_lines_of_wide_characters_are_cut_without_filling_a_cache() -> None:
    moment = before(seconds=60).isoformat(timespec="milliseconds")
    data = "".join(LINE.format(moment, "INFO", "r1", f"{number:04} {'報告' * 500}") for number in range(300)).encode()
    app = center(long_log(data))
    async with running(app) as pilot:
        await opened(pilot, app, "0299 報告")
        known = Segment._split_cells.cache_info().currsize
        await press(pilot, "ctrl+u", "right", "w", "ctrl+u", "w", "left", "G")
        assert all(strip.cell_length == log(app).size.width for strip in painted(app))
        assert all(strip.text.rstrip().endswith("›") for strip in painted(app))
        assert Segment._split_cells.cache_info().currsize < known + 20
