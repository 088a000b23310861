"""What tests of the terminal do with it, and see of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fake_link import FakeLink
from textual.command import CommandList
from textual.drivers.headless_driver import HeadlessDriver
from textual.events import Key, Resize
from textual.geometry import Size as Dimensions
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input
from waiting import eventually, until

from keiji_engine.bus.protocol import Directive
from keiji_engine.bus.views import LinkState
from keiji_tui.app import ControlCenter
from keiji_tui.logs.view import LogView
from keiji_tui.screens.tasks import TasksScreen
from keiji_tui.widgets.table import Table

Size = tuple[int, int]


@asynccontextmanager
async def running(app: ControlCenter, size: Size = (120, 30)) -> AsyncIterator[Pilot[None]]:
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: app.store.link is not LinkState.CONNECTING, "the link told something")
        if app.store.tasks:
            await until(pilot, lambda: table(app).selected, "a task is selected")
            await until(pilot, lambda: _is_laid_out(app.tasks_screen), "the table has its size")
        yield pilot


def _is_laid_out(screen: TasksScreen) -> bool:
    rows = screen.table.size.height - 1
    is_as_high_as_its_rows = screen._table_height > 0
    return rows == screen.table._visible_rows and (not is_as_high_as_its_rows or rows == screen._table_height - 1)


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Press keys, each once the one before was dealt with.

    The pilot's own way to press waits after each key, twice, until the whole process has been idle for a while.
    """
    for key in keys:
        is_sign = len(key) == 1
        event = Key(_character_to_key(key) if is_sign and not key.isalnum() else key, key if is_sign else None)
        pilot.app.post_message(event.set_sender(pilot.app))
        await settle(pilot)


async def settle(pilot: Pilot[None]) -> None:
    """Let the terminal process what was posted, what that posted in turn, and the keys that wait for it.

    The pilot's own way to do so sends a message to each widget and waits for all of them, several times over.
    """
    app = pilot.app
    await _no_callback_is_ready()
    await eventually(lambda: not isinstance(app, ControlCenter) or app.key_queue.is_idle or not app.is_running)
    await _no_callback_is_ready()
    await app.animator.wait_until_complete()
    await eventually(lambda: not app.is_running or app.screen._compositor.size == app.size, "a layout in this size")
    while app.is_running and app.screen_stack and _must_paint(screen := app.screen):
        screen._on_timer_update()  # as a timer would
        await _no_callback_is_ready()


async def _no_callback_is_ready() -> None:
    """Wait until all tasks of the event loop wait for a timer, for input or for another thread."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, asyncio.BaseEventLoop)
    rounds = 0
    while rounds < 2:  # the first one polls for input
        await asyncio.sleep(0)
        rounds = 0 if loop._ready else rounds + 1  # type: ignore[attr-defined]


async def resize(pilot: Pilot[None], size: Size) -> None:
    """Give the terminal another size, and wait until the screens have it.

    The pilot's own way to do so waits until the whole process has been idle for a while.
    """
    driver = pilot.app._driver
    assert isinstance(driver, HeadlessDriver)
    driver._size = Dimensions(*size)
    pilot.app.post_message(Resize(Dimensions(*size), Dimensions(*size)))
    await until(pilot, lambda: all(screen.size == size for screen in pilot.app.screen_stack))
    await settle(pilot)


async def take_picture(pilot: Pilot[None]) -> str:
    """Return what is on the screen as an SVG, once all has been painted."""
    app = pilot.app
    assert isinstance(app, ControlCenter)
    for field in app.screen.query(Input):
        field.cursor_blink = False  # or it would be on some pictures and not on others
    await until(pilot, lambda: app._paint_timer is None)
    for screen in filter(_must_paint, app.screen_stack[:-1]):  # a dialog does not cover all of them
        screen._on_timer_update()
    await settle(pilot)
    return app.export_screenshot(title=app.title, simplify=True)


def _must_paint(screen: Screen[Any]) -> bool:
    """Return whether a timer of the screen would paint."""
    required = screen._layout_required or screen._scroll_required or screen._repaint_required
    return bool(required or screen._dirty_widgets or screen._callbacks)


def table(app: ControlCenter) -> Table:
    return app.base_screen.query_one(Table)


def log(app: ControlCenter) -> LogView:
    return app.tasks_screen.query_one(LogView)


def text_of(app: ControlCenter) -> str:
    """Return what is on the screen, a line of it on each line."""
    width, height = app.size
    lines = app.screen._compositor.render_strips()
    assert len(lines) == height
    assert all(strip.cell_length == width for strip in lines)
    return "\n".join(strip.text for strip in lines)


def found(app: ControlCenter) -> list[str]:
    """Return what the palette offers."""
    lists = app.screen.query(CommandList)
    return [str(each.get_option_at_index(index).prompt) for each in lists for index in range(each.option_count)]


def said(app: ControlCenter) -> list[str]:
    return [notification.message for notification in app._notifications]


def verbs(link: FakeLink) -> list[type[Directive]]:
    return [type(directive) for directive in link.sent]


def sees(app: ControlCenter, *words: str) -> Callable[[], bool]:
    """Return a condition: all words are on the screen, and the screen has the size of the terminal."""
    return lambda: app.screen._compositor.size == app.size and all(word in text_of(app) for word in words)


async def choose(pilot: Pilot[None], app: ControlCenter, slug: str) -> None:
    table(app).select(slug)
    await until(pilot, lambda: app.base_screen.selected_task is not None and app.base_screen.selected_task.slug == slug)
