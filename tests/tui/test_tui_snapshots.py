"""Pictures of the terminal. Look at them before accepting a new one: ``pytest tests/tui --snapshot-update``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from fake_link import FakeLink
from piloting import press, settle
from scenes import PAUSE, center, explained, kept_back, live, ping_log, services, snapshot, task, tasks
from textual.pilot import Pilot
from waiting import until

from keiji_engine.bus.views import LinkChanged, LinkState, ServiceStatus
from keiji_tui.app import ControlCenter
from keiji_tui.screens.why import WhyScreen
from keiji_tui.widgets.log_view import LogView

Compare = Callable[..., bool]


def settled(*keys: str, lines: int = 10) -> Callable[[Pilot[None]], Awaitable[None]]:
    """Return what presses ``keys`` once the log has all its lines and everything was painted."""

    async def before(pilot: Pilot[None]) -> None:
        app: Any = pilot.app
        await until(pilot, lambda: app.store.link is not LinkState.CONNECTING)
        if app.store.tasks:
            await until(pilot, lambda: len(app._tasks_screen.query_one(LogView).buffer) == lines)
        await press(pilot, *keys)
        await until(pilot, lambda: app._apply_timer is None)
        app.board.paint(app._now())
        await settle(pilot)

    return before


def edited() -> ControlCenter:
    changed = [
        msgspec.structs.replace(view, source_changes=("function.py",)) if view.slug == "ping_google" else view
        for view in tasks()
    ]
    return live(*changed, task="ping_google")[0]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 24), (160, 45)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_tasks(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(live(task="ping_google")[0], terminal_size=size, run_before=settled())


def test_tasks_without_colours(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(live(task="ping_google")[0], terminal_size=(100, 24), run_before=settled())


@pytest.mark.parametrize(
    ("keys", "size"),
    [
        (("question_mark",), (80, 24)),
        (("R",), (80, 24)),
        (("D",), (80, 24)),
        (("slash", "p", "i"), (80, 24)),
        (("tab", "ctrl+u"), (80, 20)),
        (("H", *"jjjjj"), (100, 24)),
        (("colon",), (80, 24)),
        (("P", "d"), (80, 24)),
    ],
    ids=["help", "confirm", "delete", "filter", "log", "history", "palette", "pause-all"],
)
def test_a_key(snap_compare: Compare, keys: tuple[str, ...], size: tuple[int, int]) -> None:
    assert snap_compare(live(task="ping_google")[0], terminal_size=size, run_before=settled(*keys))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_rebuild_offer(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(edited(), terminal_size=size, run_before=settled())


@pytest.mark.parametrize("size", [(80, 24), (40, 24)], ids=["80x24", "40x24"])
def test_tasks_that_are_kept_back(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(live(*kept_back(), task="ping_google")[0], terminal_size=size, run_before=settled())


def test_everything_is_paused(snap_compare: Compare) -> None:
    app, _ = live(task="ping_google", pause=PAUSE)
    assert snap_compare(app, terminal_size=(80, 24), run_before=settled())


def test_everything_is_paused_without_colours(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app, _ = live(*kept_back(), task="ping_google", pause=PAUSE)
    assert snap_compare(app, terminal_size=(100, 24), run_before=settled())


@pytest.mark.parametrize("size", [(80, 34), (40, 24)], ids=["80x34", "40x24"])
def test_why(snap_compare: Compare, size: tuple[int, int]) -> None:
    held = kept_back()[1]
    app, link = live(*kept_back(), task=held.slug)
    explained(link, held)

    async def asked(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.board.subject == held)
        await press(pilot, "w")
        await until(pilot, lambda: isinstance(app.screen, WhyScreen) and app.screen._upcoming)
        await settled(lines=0)(pilot)

    assert snap_compare(app, terminal_size=size, run_before=asked)


def test_services(snap_compare: Compare) -> None:
    parts = services(scheduler=ServiceStatus.OFFLINE, watcher=ServiceStatus.FAILED)
    link = FakeLink(snapshot(parts=parts), LinkChanged(LinkState.LIVE), logs={"ping_google": [ping_log()]})
    app = center(link, task="ping_google")
    assert snap_compare(app, terminal_size=(100, 24), run_before=settled("4"))


def test_offline(snap_compare: Compare) -> None:
    app, link = live(task="ping_google")

    async def gone(pilot: Pilot[None]) -> None:
        await settled()(pilot)
        link.die()
        await until(pilot, lambda: app.store.link is LinkState.OFFLINE)
        await settled()(pilot)

    assert snap_compare(app, terminal_size=(80, 24), run_before=gone)


def test_no_engine(snap_compare: Compare) -> None:
    app = center(FakeLink(LinkChanged(LinkState.OFFLINE, "no engine is running")))
    assert snap_compare(app, terminal_size=(80, 24), run_before=settled())


def test_no_tasks(snap_compare: Compare) -> None:
    app = center(FakeLink(snapshot([]), LinkChanged(LinkState.LIVE)))
    assert snap_compare(app, terminal_size=(80, 24), run_before=settled())


def test_names_of_every_kind(snap_compare: Compare) -> None:
    names = ["[/b]", "[prod] 報告", "x" * 200, "😀👨‍👩‍👧", "\x1b[2Jescape", "ping_google"]
    views = [task(name, slug=f"ping_google{'' if number == 5 else number}") for number, name in enumerate(names)]
    assert snap_compare(live(*views, task="ping_google")[0], terminal_size=(80, 24), run_before=settled())
