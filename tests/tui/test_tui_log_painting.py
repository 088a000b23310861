"""How the rows of a log are painted: wrapped lines, times, the scroll bar, wide characters, hostile output."""

from __future__ import annotations

from datetime import timedelta

from log_scenes import LINE, LogLink, enter, line_with, link_with_runs, log_lines, open_log
from piloting import log, press, resize, running, sees, text_of
from rich.segment import Segment
from scenes import NOW, before, center
from textual.events import MouseScrollUp
from textual.geometry import Region
from textual.strip import Strip
from waiting import until

from keiji_tui.app import ControlCenter

HOSTILE = [
    r"\x1b[2J\x1b[Hcleared \x1b]52;c;ZXZpbA==\x07 \x1b]0;title\x1b\\ \x1b[31mred\x1b[0m",
    "zero\u200dwidth\u200b \u202eright-to-left\u202c שלום עולם مرحبا",
    "報告 한국어 ไทย ก็ e\u0301\u0301\u0301",
    "😀👨\u200d👩\u200d👧\u200d👦🏳️\u200d🌈 ❤️",
    "x" * 10_000,
    "報" * 10_000,
    "\\t".join("tabs"),
    r"10%\r\x1b[31m50%\x1b[0m\b\b\x1b[K\x1b[999C|\x1b[5Dend",
    "[/b] [prod] [@click=app.quit]click[/]",
]


def painted(app: ControlCenter) -> list[Strip]:
    """Return the rows of the log as they are painted."""
    view = log(app)
    return view.render_lines(Region(0, 0, *view.size))


async def test_rows_are_painted_in_the_same_styles_wherever_they_are_in_the_log() -> None:
    """Textual caches the output for 16,384 styles; a style for each position in the log made it grow by 13 MB."""
    app = center(LogLink(log_lines(0, 2_000)))
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0001999")
        first = {segment.style for strip in painted(app) for segment in strip}
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0000000"))
        assert {segment.style for strip in painted(app) for segment in strip} == first
        assert all(segment.style is None or not segment.style.meta for strip in painted(app) for segment in strip)


async def test_long_lines_of_wide_characters_are_cut_without_filling_a_cache() -> None:
    app = center(LogLink(b"".join(line_with(f"{number:04} {'報告' * 500}") for number in range(300))))
    async with running(app) as pilot:
        await open_log(pilot, app, "0299 報告")
        known = Segment._split_cells.cache_info().currsize
        await press(pilot, "ctrl+u", "right", "w", "ctrl+u", "w", "left", "G")
        assert all(strip.cell_length == log(app).size.width for strip in painted(app))
        assert all(strip.text.rstrip().endswith("›") for strip in painted(app))
        assert Segment._split_cells.cache_info().currsize < known + 20


async def test_long_lines_can_be_wrapped_and_times_shown_with_the_date_or_not_at_all() -> None:
    moment = before(days=3, seconds=1).isoformat(timespec="milliseconds")
    app = center(LogLink(LINE.format(moment, "INFO", "r", "word " * 60 + "END").encode() + log_lines(0, 5)))
    async with running(app, (80, 24)) as pilot:
        await open_log(pilot, app, "line 0000004")
        assert "END" not in text_of(app)
        await press(pilot, "w")
        await until(pilot, sees(app, "END", "line 0000004"))
        await press(pilot, "t")
        day = (NOW - timedelta(days=3)).astimezone(app.store.zone)
        await until(pilot, sees(app, f"{day:%Y-%m-%d} {day:%H:%M}"))
        await press(pilot, "t")
        await until(pilot, lambda: f"{day:%H:%M:}" not in text_of(app).split("log a")[1])
        await press(pilot, "w", "t")
        await until(pilot, lambda: "END" not in text_of(app))


async def test_the_scroll_bar_and_the_mouse_wheel_move_the_view() -> None:
    app = center(link_with_runs())
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0009999")
        view = log(app)
        await until(pilot, lambda: view.size.height > 20)
        bar, height = view.region.right, view.size.height
        for share, number in ((0.5, 5_000), (0.25, 2_500)):
            await pilot.mouse_down(offset=(bar, view.region.y + int((height - 1) * share)))
            await pilot.mouse_up(offset=(bar, view.region.y + int((height - 1) * share)))
            await until(
                pilot, lambda number=number: abs(int(view.visible_lines[0].raw.split("line ")[1][:7]) - number) < 600
            )
        for column in (bar, view.region.x):
            top = view.top
            await pilot._post_mouse_events([MouseScrollUp], offset=(column, view.region.y + 5))
            await until(pilot, lambda top=top: view.top < top)
        await pilot.mouse_down(offset=(bar, view.region.bottom - 1))
        await pilot.mouse_up(offset=(bar, view.region.bottom - 1))
        await until(pilot, sees(app, "following"))


async def test_the_screen_stays_intact_whatever_a_task_prints() -> None:
    app = center(LogLink(b"".join(map(line_with, HOSTILE))))
    async with running(app) as pilot:
        await until(pilot, lambda: len(log(app).buffer) == len(HOSTILE))
        await press(pilot, "l")
        for size in ((120, 30), (40, 10)):
            await resize(pilot, size)
            await until(pilot, lambda size=size: app.screen.size == size)
            for key in ("w", "g", "t", "j", "t", "right", "w", "right", "right", "t", "G", "left", "left", "left"):
                await press(pilot, key)
                assert "\x1b" not in text_of(app)  # which asserts that each row is as wide as the screen
            await enter(pilot, app, "slash", "報|x+|[אבגדהוזחטיכלמנסעפצקרשת]|😀")
            await until(pilot, lambda: log(app).is_current_visible)
            for key in ("N", "N", "w", "n", "y", "w"):
                await press(pilot, key)
                assert "\x1b" not in text_of(app)
            assert app.clipboard
            assert all(line.isprintable() for line in app.clipboard.splitlines())
            await press(pilot, "f", "escape")
