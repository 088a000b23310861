"""Pictures of screens that ask the engine. Look at each before accepting it: ``pytest tests/tui --snapshot-update``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import answers
import pytest
from answers import FAILURE, daily, day, differing, ledger
from fake_link import FakeLink
from piloting import log, press, settle
from scenes import before, explained, kept_back, live, recent, task
from textual.pilot import Pilot
from waiting import until

from keiji.errors import BuildFailed
from keiji_engine.bus.views import LinkState, TaskView
from keiji_tui.app import ControlCenter
from keiji_tui.screens.asking import AskingBoard
from keiji_tui.screens.build_output import BuildOutputScreen
from keiji_tui.widgets.table import Table

Compare = Callable[..., bool]
Size = tuple[int, int]
SIZES = [(80, 24), (40, 24), (120, 40)]


def size_of(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def playing(*some: TaskView, **options: Any) -> tuple[ControlCenter, FakeLink]:
    app, link = live(*some, **options)
    link.ledger, link.differing, link.day, link.build = ledger(), differing(), day(), answers.build()
    return app, link


def opened(app: ControlCenter, *keys: str, then: Callable[[], object] = lambda: None) -> Callable[..., Awaitable[None]]:
    """Return what presses ``keys``, waits for what the screen has asked for, does ``then``, and has all painted."""

    async def run(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.store.tasks and app._tasks_screen.table.selected)
        await settle(pilot)
        await press(pilot, *keys[:1])
        board = app.board
        await until(pilot, lambda: not isinstance(board, AskingBoard) or (board.has_answer and not board.is_asking))
        board.paint(app._now())
        await settle(pilot)
        await press(pilot, *keys[1:])
        then()
        await until(pilot, lambda: app._apply_timer is None)
        app.board.paint(app._now())
        await settle(pilot)

    return run


def choosing(app: ControlCenter, key: str) -> Callable[[], None]:
    return lambda: app.board.query_one(Table).select(key)


@pytest.mark.parametrize("size", SIZES, ids=size_of)
def test_ledger(snap_compare: Compare, size: Size) -> None:
    app, _ = playing()
    assert snap_compare(app, terminal_size=size, run_before=opened(app, "5", then=choosing(app, "directive-1")))


def test_ledger_without_colours(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app, _ = playing()
    assert snap_compare(app, terminal_size=(80, 24), run_before=opened(app, "5", then=choosing(app, "directive-0")))


def test_an_empty_ledger(snap_compare: Compare) -> None:
    app, _ = live()
    assert snap_compare(app, terminal_size=(80, 24), run_before=opened(app, "5"))


@pytest.mark.parametrize("size", SIZES, ids=size_of)
def test_upcoming(snap_compare: Compare, size: Size) -> None:
    app, _ = playing(*daily())
    assert snap_compare(app, terminal_size=size, run_before=opened(app, "6", "j", "j"))


def test_upcoming_without_colours(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app, _ = playing(*daily())
    assert snap_compare(app, terminal_size=(80, 24), run_before=opened(app, "6"))


def failing() -> TaskView:
    """Return a task of which there is much to say."""
    return task(
        "import_orders",
        schedule_words="at 02:30 on the last Sunday of the month",
        schedule="cron:30 2 * * L7",
        zone="Europe/Berlin",
        policy="overlap skip, catch up latest, held after 3 failures",
        description="brings orders in from the shop",
        source_changes=("function.py",),
        build="3f9a2c1e00000000",
        recent=recent(8, 9, 8, 8, 25, 8, "x", "x", "x", ended=before(minutes=21)),
        is_error=True,
        held_since=before(minutes=21),
        failures=3,
        log_path="/home/user/.local/state/keiji/log/tasks/import_orders/import_orders.log",
        executable="/home/user/.local/share/keiji/exec/tasks/import_orders",
        source_path="/home/user/keiji/tasks/import_orders",
    )


@pytest.mark.parametrize("size", [(80, 24), (80, 60), (40, 24)], ids=size_of)
def test_detail(snap_compare: Compare, size: Size) -> None:
    app, link = playing(failing())
    explained(link, kept_back()[1])
    link.build = answers.build(failing().build or "")
    assert snap_compare(app, terminal_size=size, run_before=opened(app, "enter"))


def test_detail_while_the_engine_is_away(snap_compare: Compare) -> None:
    app, link = playing(failing())
    explained(link, kept_back()[1])

    async def gone(pilot: Pilot[None]) -> None:
        await opened(app, "enter")(pilot)
        link.die()
        await until(pilot, lambda: app.store.link is LinkState.OFFLINE)
        await opened(app)(pilot)

    assert snap_compare(app, terminal_size=(80, 24), run_before=gone)


@pytest.mark.parametrize("size", SIZES, ids=size_of)
def test_difference(snap_compare: Compare, size: Size) -> None:
    app, _ = playing(task="ping_google")
    assert snap_compare(app, terminal_size=size, run_before=opened(app, "d"))


def test_difference_without_colours(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app, _ = playing(task="ping_google")
    assert snap_compare(app, terminal_size=(80, 24), run_before=opened(app, "d"))


@pytest.mark.parametrize("size", [(80, 24), (40, 24)], ids=size_of)
def test_a_failed_build(snap_compare: Compare, size: Size) -> None:
    app, link = playing(task="ping_google")
    link.answer = lambda directive: BuildFailed("\n".join(FAILURE[:-1]), hint=FAILURE[-1])

    async def failed(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.store.tasks and len(log(app).buffer) == 10, "the log below has its lines")
        await opened(app, "b")(pilot)
        await until(pilot, lambda: isinstance(app.screen, BuildOutputScreen))
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=failed)


def test_what_a_build_said(snap_compare: Compare) -> None:
    app, _ = playing(task="ping_google")

    async def asked(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.store.tasks and len(log(app).buffer) == 10, "the log below has its lines")
        await opened(app, "B")(pilot)
        await until(pilot, lambda: isinstance(app.screen, BuildOutputScreen) and app.screen.entry)
        await opened(app)(pilot)

    assert snap_compare(app, terminal_size=(80, 24), run_before=asked)
