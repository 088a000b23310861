"""Pictures of marked and sorted tasks, of what is asked about them, of a new task, and of the light colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fake_link import FakeLink
from piloting import press
from scenes import NOW, center, live, snapshot, task
from test_tui_snapshots import settled
from textual.pilot import Pilot
from textual.widgets import Input
from waiting import until

from keiji_engine.bus.views import LinkChanged, LinkState, TaskView
from keiji_tui.app import ControlCenter
from keiji_tui.screens.confirm import ConfirmScreen
from keiji_tui.screens.new_task import NewTaskScreen

Compare = Callable[..., bool]
SIZES = [(80, 24), (40, 24), (250, 30)]


def quiet(*some: TaskView) -> ControlCenter:
    """Return a terminal without logs, which come a moment after the selection has moved."""
    return center(FakeLink(snapshot(some or None), LinkChanged(LinkState.LIVE)), task=None if some else "ping_google")


def named(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


@pytest.mark.parametrize("size", SIZES, ids=named)
def test_marked(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = quiet()
    assert snap_compare(app, terminal_size=size, run_before=settled("S", "I", "k", "space", "space", "k", lines=0))


def test_marked_without_colours(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = quiet()
    assert snap_compare(app, terminal_size=(100, 24), run_before=settled("f", "space", lines=0))


def test_nothing_of_a_kind(snap_compare: Compare) -> None:
    keys = ("f", "slash", *"zzz", "enter")
    assert snap_compare(quiet(), terminal_size=(80, 24), run_before=settled(*keys, lines=0))


def test_a_question_about_all_that_are_marked(snap_compare: Compare) -> None:
    some = [
        task(f"job [{number}]", slug=f"job_{number:02}", is_running=number % 5 > 0, running_since=NOW)
        for number in range(20)
    ]
    app = quiet(*some)

    async def asked(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.board.subject)
        await press(pilot, *["space"] * 20, "x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await settled(lines=0)(pilot)

    assert snap_compare(app, terminal_size=(80, 24), run_before=asked)


@pytest.mark.parametrize(
    ("size", "schedule"),
    [((80, 24), 'on.weekdays.at("6:00", "18:00")'), ((40, 24), "on.firday"), ((80, 24), "every(5)")],
    ids=["80x24", "40x24", "wrong"],
)
def test_new_task(snap_compare: Compare, size: tuple[int, int], schedule: str) -> None:
    app = quiet()

    async def typed(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.board.subject)
        await press(pilot, "N")
        await until(pilot, lambda: isinstance(app.screen, NewTaskScreen))
        for field, text in {"name": "invoices", "description": "sends what is due", "schedule": schedule}.items():
            app.screen.query_one(f"#{field}", Input).value = text
        await settled(lines=0)(pilot)

    assert snap_compare(app, terminal_size=size, run_before=typed)


@pytest.mark.parametrize("theme", ["keiji-light", "nord", "ansi-dark"])
def test_theme(snap_compare: Compare, theme: Any) -> None:
    app, _ = live(task="ping_google", theme=theme)
    assert snap_compare(app, terminal_size=(100, 24), run_before=settled())
