"""Moving between the runs in a log, and opening a log at a run."""

from __future__ import annotations

import pytest
from log_scenes import RUN_LINES, link_with_runs, open_log
from piloting import press, running, sees
from scenes import center, snapshot, task
from waiting import until

from keiji_tui.app import ControlCenter
from keiji_tui.cli import parse_options
from keiji_tui.logs.view import LogView
from keiji_tui.screens.log import RunLogScreen
from keiji_tui.screens.runs import RunsScreen


def top_of(app: ControlCenter) -> str:
    view = app.base_screen.query_one(LogView)
    return view.visible_lines[0].raw if view.visible_lines else ""


async def test_brackets_go_from_run_to_run() -> None:
    app = center(link_with_runs())
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0009999")
        await press(pilot, "ctrl+u", "ctrl+u", "left_square_bracket")
        for number in (19, 18, 17):
            await until(pilot, lambda number=number: f"line {number * RUN_LINES:07}" in top_of(app))
            await press(pilot, "left_square_bracket")
        await until(pilot, lambda: f"line {16 * RUN_LINES:07}" in top_of(app))
        await press(pilot, "right_square_bracket")
        await until(pilot, lambda: f"line {17 * RUN_LINES:07}" in top_of(app))
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0000000"))
        await press(pilot, "left_square_bracket")
        await until(pilot, sees(app, "no earlier run"))


async def test_a_run_is_opened_at_its_first_line_or_at_its_last_error() -> None:
    app = center(link_with_runs())
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0009999"))
        await press(pilot, "H")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.selected_run)
        await press(pilot, "j", "j", "enter")
        await until(pilot, lambda: f"line {17 * RUN_LINES:07}" in top_of(app))
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await press(pilot, *"j" * 14, "enter")
        await until(pilot, sees(app, "✗ ValueError: boom", "run 03030303", "exit 1"))
        assert isinstance(app.screen, RunLogScreen)
        view = app.screen.query_one(LogView)
        assert view.is_current_visible
        assert "boom" in view.buffer[view.buffer.index(view.current or 0)].raw


@pytest.mark.parametrize(("run", "text"), [("0303", "ValueError: boom"), ("last", "0009999")])
async def test_the_program_opens_at_a_run(run: str, text: str) -> None:
    app = center(link_with_runs(), task="a", run=run)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunLogScreen) and app.screen.log_pane.view.visible_lines)
        await until(pilot, sees(app, text))


def test_the_option_for_a_run_requires_that_for_its_task(capsys: pytest.CaptureFixture[str]) -> None:
    options = parse_options(["--task", "a", "--run", "failed"])
    assert (options.task, options.run) == ("a", "failed")
    with pytest.raises(SystemExit) as ended:
        parse_options(["--run", "failed"])
    assert ended.value.code == 2
    assert "--run requires --task" in capsys.readouterr().err


async def test_an_unknown_run_is_reported() -> None:
    app = center(link_with_runs(1), task="a", run="ffff")
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, sees(app, "a has no run ffff"))


async def test_a_log_at_a_run_is_followed_again_when_the_engine_is_back() -> None:
    link = link_with_runs()
    app = center(link, task="a", run="failed")
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunLogScreen) and app.screen.log_pane.view.is_current_visible)
        link.die()
        await until(pilot, sees(app, "engine offline", "boom"))
        followed = len(link.followed)
        link.come_back(snapshot([task("a")], boot="boot-2"))
        await until(pilot, lambda: len(link.followed) > followed)
        await until(pilot, sees(app, "boom"))
        await press(pilot, "G")
        await until(pilot, sees(app, "line 0009999", "following"))
