"""How pictures of the terminal are taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from failures import reported
from piloting import settle
from textual import _doc
from textual.pilot import Pilot
from textual.screen import Screen
from waiting import until

from keiji_tui.app import ControlCenter


@pytest.fixture(autouse=True)
def no_failures(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test during which background work has failed; one that expects it clears ``caplog``."""
    yield
    assert not reported(caplog)


@pytest.fixture
def snap_compare(snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Compare a picture with the accepted one. It is taken once all is settled.

    The toolkit would wait, five times over, until the whole process has been idle for a while.
    """
    monkeypatch.setattr(_doc, "take_svg_screenshot", _picture)
    return snap_compare


def _picture(
    app: ControlCenter,
    *,
    press: tuple[str, ...],
    terminal_size: tuple[int, int],
    run_before: Callable[[Pilot[Any]], Awaitable[None]],
) -> str:
    async def take(pilot: Pilot[Any]) -> None:
        await run_before(pilot)
        await until(pilot, lambda: app._paint_timer is None)
        await _paint(pilot)
        taken.append(app.export_screenshot(title=app.title, simplify=True))
        app.exit()

    assert not press, "keys are pressed by run_before"
    taken: list[str] = []
    app.run(headless=True, size=terminal_size, auto_pilot=take)
    return taken[0]


async def _paint(pilot: Pilot[Any]) -> None:
    """Have all painted that is still to be painted, and what follows from that; a timer of the screen's would do so."""
    await settle(pilot)
    for screen in filter(_is_owed, pilot.app.screen_stack[:-1]):  # a dialog does not cover all of them
        screen._on_timer_update()
        await settle(pilot)
    while _is_owed(screen := pilot.app.screen):
        screen._on_timer_update()
        await settle(pilot)


def _is_owed(screen: Screen[Any]) -> bool:
    required = screen._layout_required or screen._scroll_required or screen._repaint_required
    return bool(required or screen._dirty_widgets or screen._callbacks)
