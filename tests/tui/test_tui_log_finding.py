"""Finding and filtering in a log, by expressions that may be wrong, or take for ever."""

from __future__ import annotations

import time

from fake_link import FakeLink
from piloting import log, press, running, sees, text_of
from scenes import center
from test_tui_log_reading import grow, lines, long_log, numbers
from textual.pilot import Pilot
from textual.widgets import Input
from waiting import until

from keiji_tui.app import ControlCenter
from keiji_tui.logs.prompt import LogPrompt


async def opened(pilot: Pilot[None], app: ControlCenter, words: str) -> None:
    await until(pilot, sees(app, words))
    await press(pilot, "l")


async def asked(pilot: Pilot[None], app: ControlCenter, key: str, text: str) -> None:
    """Type something into the line that a key opens, and press enter."""
    await press(pilot, key)
    await until(pilot, lambda: app.screen.query_one(LogPrompt).is_open)
    app.screen.query_one(LogPrompt).query_one(Input).value = text
    await press(pilot, "enter")


def haystack() -> FakeLink:
    """Return a link to a log of five megabytes with three needles."""
    parts = []
    for number in range(0, 60_000, 20_000):
        parts.append(lines(number, number + 20_000))
        parts.append(lines(number, number + 1, level="ERROR", words="a Needle"))
    return long_log(b"".join([*parts, lines(60_000, 70_000)]))


async def test_a_match_far_up_is_found_and_the_next_ones_by_keys() -> None:
    app = center(haystack())
    async with running(app) as pilot:
        await opened(pilot, app, "line 0069999")
        await asked(pilot, app, "slash", "n[e]+dle 0+40000")
        await until(pilot, sees(app, "a Needle 0040000"))
        assert not log(app).following
        await asked(pilot, app, "slash", "needle")
        await until(pilot, sees(app, "find “needle”"))
        await until(pilot, lambda: log(app).is_current_visible)
        await press(pilot, "N")
        await until(pilot, sees(app, "a Needle 0020000"))
        await press(pilot, "N")
        await until(pilot, sees(app, "a Needle 0000000"))
        await press(pilot, "N")
        await until(pilot, sees(app, "no earlier match", "a Needle 0000000"))
        for number in ("0020000", "0040000"):
            await press(pilot, "n")
            await until(pilot, sees(app, f"a Needle {number}"))
        await press(pilot, "n")
        await until(pilot, sees(app, "no later match"))
        line = log(app).buffer[log(app).buffer.index(log(app).current or 0)]
        await until(pilot, lambda: (log(app).matches or {}).get(line.raw) == [(2, 8)])
        await press(pilot, "escape")
        await until(pilot, lambda: "find “" not in text_of(app))
        assert log(app).matches is None


async def test_what_is_nowhere_is_said_to_be_nowhere_and_nobody_is_moved() -> None:
    app = center(haystack())
    async with running(app) as pilot:
        await opened(pilot, app, "line 0069999")
        await asked(pilot, app, "slash", "nothing of the kind")
        await until(pilot, sees(app, "no match", "line 0069999"))
        await press(pilot, "escape")
        await until(pilot, sees(app, "following"))


async def test_a_pattern_with_a_capital_takes_notice_of_case() -> None:
    app = center(haystack())
    async with running(app) as pilot:
        await opened(pilot, app, "line 0069999")
        await asked(pilot, app, "slash", "NEEDLE")
        await until(pilot, sees(app, "no match"))


async def test_what_is_no_expression_is_said_under_the_line_that_stays_open() -> None:
    app = center(haystack())
    async with running(app) as pilot:
        await opened(pilot, app, "line 0069999")
        for key in ("slash", "ampersand"):
            await press(pilot, key, "(", "a")
            await until(pilot, sees(app, "✗ missing ), unterminated subpattern"))
            await press(pilot, "enter")
            assert app.screen.query_one(LogPrompt).is_open
            await press(pilot, ")")
            await until(pilot, lambda: "missing )" not in text_of(app))
            await press(pilot, "escape")
            await until(pilot, lambda: log(app).has_focus)


async def test_an_expression_that_takes_for_ever_holds_nobody_up_and_can_be_stopped() -> None:
    link = long_log(lines(0, 2_000, words="a" * 40))
    app = center(link)
    async with running(app) as pilot:
        await opened(pilot, app, "0001999")
        await asked(pilot, app, "slash", "(a+)+$")
        await until(pilot, sees(app, "searching …"))
        began = time.monotonic()
        await press(pilot, "k", "k", "j")
        assert time.monotonic() - began < 1.0
        await press(pilot, "escape")
        await until(pilot, sees(app, "stopped"))
        await press(pilot, "escape")
        await asked(pilot, app, "slash", "0000007")
        await until(pilot, sees(app, "a 0000007"))


async def test_an_expression_that_nobody_stops_gives_up_by_itself() -> None:
    link = long_log(lines(0, 2_000, words="a" * 40))
    app = center(link)
    async with running(app) as pilot:
        await opened(pilot, app, "0001999")
        await asked(pilot, app, "ampersand", "(a+)+$")
        await until(pilot, sees(app, "takes too long"))
        await press(pilot, "escape")
        await until(pilot, sees(app, "a" * 40))


async def test_a_filter_shows_the_matching_lines_of_the_whole_file_and_those_that_come() -> None:
    link = haystack()
    app = center(link)
    async with running(app) as pilot:
        await opened(pilot, app, "line 0069999")
        await asked(pilot, app, "ampersand", "needle")
        await until(pilot, sees(app, "a Needle 0000000", "a Needle 0020000", "a Needle 0040000", "only “needle”"))
        assert "line 00" not in text_of(app)
        grow(link, lines(5, 6, words="one more needle") + lines(6, 7))
        await until(pilot, sees(app, "one more needle 0000005", "following"))
        assert len(log(app).buffer) == 4
        await press(pilot, "escape")
        await until(pilot, sees(app, "line 0069999"))


async def test_an_exclamation_mark_inverts_a_filter() -> None:
    app = center(haystack())
    async with running(app) as pilot:
        await opened(pilot, app, "line 0069999")
        await asked(pilot, app, "ampersand", "!line .*[1-9]$")
        await until(pilot, sees(app, "without “line", "line 0069990", "line 0069980"))
        assert all(number % 10 == 0 for number in numbers(app))
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0000000", "line 0000010"))
        await press(pilot, *["ctrl+d"] * 3)
        assert numbers(app) == sorted(numbers(app))


async def test_a_filter_through_a_long_log_can_be_stopped() -> None:
    link = long_log(lines(0, 300_000))
    app = center(link)
    async with running(app) as pilot:
        await opened(pilot, app, "line 0299999")
        await asked(pilot, app, "ampersand", "nowhere")
        await until(pilot, sees(app, "filtering … ", "esc stops"))
        await press(pilot, "escape")
        await until(pilot, lambda: "filtering …" not in text_of(app))
        count = len(link.reads)
        await press(pilot, "j", "w")
        await until(pilot, lambda: not log(app)._reader.is_scanning)
        assert len(link.reads) >= count
        await press(pilot, "escape")
        await until(pilot, sees(app, "line 0299999"))


async def test_a_search_through_a_long_log_shows_how_far_it_is_and_can_be_stopped() -> None:
    link = long_log(lines(0, 300_000))
    app = center(link)
    async with running(app) as pilot:
        await opened(pilot, app, "line 0299999")
        await asked(pilot, app, "slash", "nowh.re")
        await until(pilot, sees(app, "searching … ", "esc stops"))
        await press(pilot, "escape")
        await until(pilot, sees(app, "stopped"))
        count = len(link.reads)
        await press(pilot, "k", "j")
        assert len(link.reads) <= count + 1


async def test_standard_output_and_error_are_shown_apart() -> None:
    app = center(haystack())
    async with running(app) as pilot:
        await opened(pilot, app, "line 0069999")
        await press(pilot, "O")
        await until(pilot, sees(app, "out only", "line 0069999"))
        await press(pilot, "O")
        await until(pilot, sees(app, "err only", "a Needle 0000000", "a Needle 0040000"))
        assert "line 00" not in text_of(app)
        await press(pilot, "O")
        await until(pilot, sees(app, "line 0069999"))
        assert "err only" not in text_of(app)
