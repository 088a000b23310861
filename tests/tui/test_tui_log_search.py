"""Searching and filtering a log, with expressions that may be invalid or never finish."""

from __future__ import annotations

import time

from log_scenes import LogLink, enter, line_with, log_lines, open_log, visible_numbers
from piloting import log, press, running, sees, text_of
from scenes import center
from textual.pilot import Pilot
from textual.widgets import Input
from waiting import until

from keiji_tui.app import ControlCenter
from keiji_tui.logs.prompt import LogPrompt


def haystack() -> LogLink:
    """Return a link to a log of a megabyte with three needles."""
    parts = []
    for number in range(0, 15_000, 5_000):
        parts.append(log_lines(number, number + 5_000))
        parts.append(log_lines(number, number + 1, level="ERROR", words="a Needle"))
    return LogLink(b"".join([*parts, log_lines(15_000, 18_000)]))


async def closed(pilot: Pilot[None], app: ControlCenter) -> None:
    """Leave the prompt, the search and the filter with escape."""
    pane = app.tasks_screen.log_pane
    while pane.prompt.is_open or pane.pattern or not pane.reader.line_filter.is_all:
        await press(pilot, "escape")
    await until(pilot, lambda: log(app).has_focus and not pane.is_busy)


async def test_a_distant_match_is_found_and_then_the_next_and_previous_ones() -> None:
    app = center(haystack())
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0017999")
        # While the prompt is open, keys of the log edit its text.
        await press(pilot, "slash", "n", "ctrl+s", "up", "pageup", "y", "ctrl+u", "w")
        assert app.screen.query_one(LogPrompt).query_one(Input).value == "w"
        assert (log(app).following, log(app).is_wrapped, app.clipboard) == (True, False, "")
        assert "save to" not in text_of(app)
        await closed(pilot, app)
        for text in ("nothing of the kind", "NEEDLE"):  # a capital letter makes the search case-sensitive
            await enter(pilot, app, "slash", text)
            await until(pilot, sees(app, "no match", "line 0017999"))
        await closed(pilot, app)
        await until(pilot, sees(app, "following"))
        await enter(pilot, app, "slash", "n[e]+dle 0+10000")
        await until(pilot, sees(app, "a Needle 0010000"))
        assert not log(app).following
        await enter(pilot, app, "slash", "needle")
        await until(pilot, sees(app, "find “needle”"))
        await until(pilot, lambda: log(app).is_current_visible)
        for key, seen in (
            ("N", "a Needle 0005000"), ("N", "a Needle 0000000"), ("N", "no earlier match"),
            ("n", "a Needle 0005000"), ("n", "a Needle 0010000"), ("n", "no later match"),
        ):  # fmt: skip
            await press(pilot, key)
            await until(pilot, sees(app, seen))
        line = log(app).buffer[log(app).buffer.index(log(app).current or 0)]
        await until(pilot, lambda: (log(app).matches or {}).get(line.raw) == [(2, 8)])
        await closed(pilot, app)
        assert log(app).matches is None
        for key in ("slash", "ampersand"):
            await press(pilot, key, "(", "a")
            await until(pilot, sees(app, "✗ missing ), unterminated subpattern"))
            await press(pilot, "enter")
            assert app.screen.query_one(LogPrompt).is_open
            await press(pilot, ")")
            await until(pilot, lambda: "missing )" not in text_of(app))
            await closed(pilot, app)


async def test_an_expression_that_never_finishes_blocks_nothing_and_can_be_stopped() -> None:
    app = center(LogLink(log_lines(0, 1_000, words="a" * 40)))
    async with running(app) as pilot:
        await open_log(pilot, app, "0000999")
        await enter(pilot, app, "slash", "(a+)+$")
        await until(pilot, sees(app, "searching …"))
        began = time.monotonic()
        await press(pilot, "k", "k", "j")
        assert time.monotonic() - began < 1.0
        await press(pilot, "escape")
        await until(pilot, sees(app, "stopped"))
        await closed(pilot, app)
        await enter(pilot, app, "slash", "0000007")
        await until(pilot, sees(app, "a 0000007"))
        await closed(pilot, app)
        app.tasks_screen.log_pane.match_client.limit_seconds = 0.1
        app.tasks_screen.log_pane.match_client.close()  # the limit applies to a new process
        await enter(pilot, app, "ampersand", "(a+)+$")
        await until(pilot, sees(app, "takes too long"))
        await closed(pilot, app)
        await until(pilot, sees(app, "a" * 40))


async def test_a_filter_shows_the_selected_lines_of_the_whole_log_and_new_ones() -> None:
    link = haystack()
    app = center(link)
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0017999")
        await enter(pilot, app, "ampersand", "needle")
        await until(pilot, sees(app, "a Needle 0000000", "a Needle 0005000", "a Needle 0010000", "only “needle”"))
        assert "line 00" not in text_of(app)
        link.append(log_lines(5, 6, words="one more needle") + log_lines(6, 7))
        await until(pilot, sees(app, "one more needle 0000005", "following"))
        assert len(log(app).buffer) == 4
        await closed(pilot, app)
        await enter(pilot, app, "ampersand", "!line .*[1-9]$")
        await until(pilot, sees(app, "without “line", "line 0017990", "line 0017980"))
        assert all(number % 10 == 0 for number in visible_numbers(app))
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0000000", "line 0000010"))
        await press(pilot, "ctrl+d", "ctrl+d")
        assert visible_numbers(app) == sorted(visible_numbers(app))
        await closed(pilot, app)
        await press(pilot, "f", "O")
        await until(pilot, sees(app, "out only", "line 0017999"))
        await press(pilot, "O")
        await until(pilot, sees(app, "err only", "a Needle 0000000", "a Needle 0010000"))
        assert "line 00" not in text_of(app)
        await press(pilot, "O")
        await until(pilot, sees(app, "line 0017999"))
        assert "err only" not in text_of(app)
        # The first visible line stays at the top when a filter is set or removed.
        await enter(pilot, app, "slash", "line 0007000")  # which is not placed at the top
        await until(pilot, lambda: log(app).is_current_visible and not app.tasks_screen.log_pane.is_busy)
        top = log(app).top
        await enter(pilot, app, "ampersand", "line")
        await until(pilot, sees(app, "only “line”"))
        await until(pilot, lambda: log(app).visible_lines and log(app).top == top)
        await closed(pilot, app)
        await until(pilot, lambda: log(app).visible_lines and log(app).top == top)


async def test_scanning_a_long_log_shows_its_progress_and_can_be_stopped() -> None:
    link = haystack()
    app = center(link)
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0017999")
        for key, progress in (("slash", "searching … "), ("ampersand", "filtering … ")):
            await until(pilot, lambda: not app.tasks_screen.log_pane.is_busy and log(app).following)
            link.block_reads(2)
            await enter(pilot, app, key, "nowh.re")
            await until(pilot, sees(app, progress, "esc stops"))
            await until(pilot, lambda: link.free_reads is not None and link.free_reads < 0)
            await press(pilot, "escape")
            await until(pilot, lambda progress=progress: progress not in text_of(app))
            link.unblock_reads()
            count = len(link.reads)
            await press(pilot, "w")
            assert len(link.reads) <= count + 1
            await closed(pilot, app)
        await until(pilot, sees(app, "line 0017999"))


async def test_a_match_in_a_progress_bar_is_found_in_its_last_state() -> None:
    bars = b"".join(line_with(rf"\r{number}%")[:-1] + b" more=1\n" for number in range(50))
    app = center(LogLink(bars + line_with(r"\r100% complete") + log_lines(0, 300)))
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0000299")
        await enter(pilot, app, "slash", "100% c")
        await until(pilot, lambda: log(app).is_current_visible)
        await until(pilot, sees(app, "100% complete"))
        assert "49%" not in text_of(app)
        assert len(log(app).buffer) == 301
