"""Scenes with logs; see `staging`."""

from __future__ import annotations

from collections.abc import Callable

from log_scenes import LINE, MERGED_LINES, LogLink, enter, link_with_merged_tasks, make_run
from piloting import log, press
from scenes import before, center
from staging import Stage, stage
from textual.pilot import Pilot
from waiting import until

from keiji.states import RunState
from keiji_tui.app import ControlCenter
from keiji_tui.logs.view import LogView
from keiji_tui.screens.log import MergedLogScreen, RunLogScreen

_MESSAGES = (
    ("INFO", r"\x1b[32mGET\x1b[0m /orders/{0} 200 in 41 ms"),
    ("INFO", "wrote 240 rows of 報告"),
    ("WARN", "slow answer: 3.2s"),
    (
        "ERROR",
        "requests.exceptions.HTTPError: 503 Server Error for url: https://api.example.com/orders?page=7&since={0}",
    ),
    ("INFO", "cache hit for customer 53"),
)


def failing_runs() -> LogLink:
    """Return a link to the log of 40 failed runs."""
    data, runs = b"", []
    for number in range(40):
        begin, moment = len(data), ""
        for at in range(50):
            moment = before(minutes=60 - number, seconds=-at).isoformat(timespec="milliseconds")
            level, message = _MESSAGES[4 if at % 5 and at < 40 else at % 4]
            data += LINE.format(moment, level, f"{number:02x}" * 16, message.format(91_738 + number)).encode()
        data += LINE.format(moment, "ERROR", f"{number:02x}" * 16, "run failed after 50.1s: exit code 1").encode()
        runs.append(make_run(number, RunState.FAILED, begin, len(data)))
    link = LogLink(data)
    link.history = tuple(reversed(runs))
    return link


def reading(*steps: str) -> Callable[[], Stage]:
    """Return a scene of a full-screen log after some keys; the text after a space is entered in the prompt."""

    async def read(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, ControlCenter)
        pane = app.tasks_screen.log_pane
        await until(pilot, lambda: pane.view.visible_lines)
        await press(pilot, "l")
        await until(pilot, lambda: log(app).region.y == 3, "it has the whole screen")
        for step in steps:
            key, _, text = step.partition(" ")
            await (enter(pilot, app, key, text) if text else press(pilot, key))
            await until(pilot, lambda: not pane.is_busy and pane.view.visible_lines)

    return lambda: stage(center(failing_runs()), then=read)


def failed_run() -> Stage:
    app = center(failing_runs(), task="a", run="0505")

    async def opened(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(app.screen, RunLogScreen) and app.screen.log_pane.view.is_current_visible)

    return stage(app, shows=RunLogScreen, then=opened)


def merged() -> Stage:
    async def read(pilot: Pilot[None]) -> None:
        view = pilot.app.screen.query_one(LogView)
        await until(
            pilot, lambda: view.visible_lines and f"line {MERGED_LINES - 1} of mail" in view.visible_lines[-1].raw
        )

    return stage(center(link_with_merged_tasks()), "space", "space", "space", "l", shows=MergedLogScreen, then=read)
