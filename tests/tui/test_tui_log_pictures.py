"""Pictures of logs. Look at them before accepting a new one: ``pytest tests/tui --snapshot-update``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from fake_link import FakeLink
from piloting import log, press, settle
from scenes import before, center
from test_tui_log_deeds import run
from test_tui_log_finding import asked
from test_tui_log_reading import LINE, long_log
from textual.pilot import Pilot
from waiting import until

from keiji.states import RunState
from keiji_tui.app import ControlCenter
from keiji_tui.screens.log import RunLogScreen

Compare = Callable[..., bool]
LINES = (
    ("INFO", r"\x1b[32mGET\x1b[0m /orders/{0} 200 in 41 ms"),
    ("INFO", "wrote 240 rows of 報告"),
    ("WARN", "slow answer: 3.2 s"),
    (
        "ERROR",
        "requests.exceptions.HTTPError: 503 Server Error for url: https://api.example.com/orders?page=7&since={0}",
    ),
    ("INFO", "cache hit for customer 53"),
)


def link() -> FakeLink:
    """Return a link to the log of forty runs, all of which failed."""
    data, runs = b"", []
    for number in range(40):
        begin, moment = len(data), ""
        for at in range(50):
            moment = before(minutes=60 - number, seconds=-at).isoformat(timespec="milliseconds")
            level, words = LINES[4 if at % 5 and at < 40 else at % 4]
            data += LINE.format(moment, level, f"{number:02x}" * 16, words.format(91_738 + number)).encode()
        data += LINE.format(moment, "ERROR", f"{number:02x}" * 16, "run failed after 50.1 s: exit code 1").encode()
        runs.append(run(number, RunState.FAILED, begin, len(data)))
    made = long_log(data)
    made.history = tuple(reversed(runs))
    return made


def reading(*steps: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    """Return what opens the log and presses keys, or types what comes behind one of them after a space."""

    async def before_it(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, ControlCenter)
        pane = app._tasks_screen.log_pane
        await until(pilot, lambda: pane.view.lines_shown)
        await press(pilot, "l")
        await until(pilot, lambda: log(app).region.y == 3, "it has the whole screen")
        for step in steps:
            key, _, text = step.partition(" ")
            await (asked(pilot, app, key, text) if text else press(pilot, key))
            await until(pilot, lambda: not pane._deeds.is_busy and pane.reader._goal is None)
            await until(pilot, lambda: pane.view.lines_shown)
        await until(pilot, lambda: not any(True for _ in log(app).unmarked()))
        await until(pilot, lambda: app._apply_timer is None)
        app.board.paint(app._now())
        await settle(pilot)

    return before_it


FOUND = ("g", r"slash orders.*\d+")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 24)], ids=["80x24", "120x40", "40x24"])
def test_found(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(center(link()), terminal_size=size, run_before=reading(*FOUND))


def test_found_without_colours(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(center(link()), terminal_size=(100, 24), run_before=reading(*FOUND))


def test_filtered_wrapped_and_dated(snap_compare: Compare) -> None:
    steps = ("ampersand error", "w", "t")
    assert snap_compare(center(link()), terminal_size=(80, 24), run_before=reading(*steps))


def test_what_is_no_expression(snap_compare: Compare) -> None:
    assert snap_compare(center(link()), terminal_size=(80, 24), run_before=reading("slash", "(", "a"))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_at_a_run_that_failed(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = center(link(), task="a", run="0505")

    async def opened(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(app.screen, RunLogScreen) and app.screen.log_pane.view.is_here_visible)
        await until(pilot, lambda: app._apply_timer is None)
        app.board.paint(app._now())
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=opened)
