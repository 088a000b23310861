"""Logs, brought about as in `staging`."""

from __future__ import annotations

from collections.abc import Callable

from fake_link import FakeLink
from piloting import log, press
from scenes import before, center
from staging import Stage, stage
from test_tui_log_deeds import run
from test_tui_log_finding import asked
from test_tui_log_merged import LINES, three
from test_tui_log_reading import LINE, long_log
from textual.pilot import Pilot
from waiting import until

from keiji.states import RunState
from keiji_tui.app import ControlCenter
from keiji_tui.logs.view import LogView
from keiji_tui.screens.log import MergedLogScreen, RunLogScreen

_WORDS = (
    ("INFO", r"\x1b[32mGET\x1b[0m /orders/{0} 200 in 41 ms"),
    ("INFO", "wrote 240 rows of 報告"),
    ("WARN", "slow answer: 3.2s"),
    (
        "ERROR",
        "requests.exceptions.HTTPError: 503 Server Error for url: https://api.example.com/orders?page=7&since={0}",
    ),
    ("INFO", "cache hit for customer 53"),
)


def failing_runs() -> FakeLink:
    """Return a link to the log of forty runs, all of which failed."""
    data, runs = b"", []
    for number in range(40):
        begin, moment = len(data), ""
        for at in range(50):
            moment = before(minutes=60 - number, seconds=-at).isoformat(timespec="milliseconds")
            level, words = _WORDS[4 if at % 5 and at < 40 else at % 4]
            data += LINE.format(moment, level, f"{number:02x}" * 16, words.format(91_738 + number)).encode()
        data += LINE.format(moment, "ERROR", f"{number:02x}" * 16, "run failed after 50.1s: exit code 1").encode()
        runs.append(run(number, RunState.FAILED, begin, len(data)))
    made = long_log(data)
    made.history = tuple(reversed(runs))
    return made


def reading(*steps: str) -> Callable[[], Stage]:
    """Return a scene of a log on the whole screen in which keys are pressed; what follows a space is typed after it."""

    async def read(pilot: Pilot[None]) -> None:
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

    return lambda: stage(center(failing_runs()), then=read)


def failed_run() -> Stage:
    app = center(failing_runs(), task="a", run="0505")

    async def opened(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(app.screen, RunLogScreen) and app.screen.log_pane.view.is_here_visible)

    return stage(app, shows=RunLogScreen, then=opened)


def merged() -> Stage:
    async def read(pilot: Pilot[None]) -> None:
        view = pilot.app.screen.query_one(LogView)
        await until(pilot, lambda: view.lines_shown and f"line {LINES - 1} of mail" in view.lines_shown[-1].raw)

    return stage(center(three()), "space", "space", "space", "l", shows=MergedLogScreen, then=read)
