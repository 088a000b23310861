"""What tests of the terminal do with it, and see of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fake_link import FakeLink
from textual.command import CommandList
from textual.events import Key
from textual.keys import _character_to_key
from textual.pilot import Pilot
from waiting import eventually, until

from keiji_engine.bus.protocol import Directive
from keiji_engine.bus.views import LinkState
from keiji_tui.app import ControlCenter
from keiji_tui.logs.view import LogView
from keiji_tui.widgets.table import Table

Size = tuple[int, int]


@asynccontextmanager
async def running(app: ControlCenter, size: Size = (120, 30)) -> AsyncIterator[Pilot[None]]:
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: app.store.link is not LinkState.CONNECTING, "the link told something")
        if app.store.tasks:
            await until(pilot, lambda: table(app).selected, "a task is selected")
            await until(
                pilot, lambda: app.tasks_screen._table_height in (table(app).size.height, 0), "the room is shared"
            )
        yield pilot


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
    """Let all that is on the screen deal with what was posted, with what that posted, and with what that did."""
    app = pilot.app
    for _ in range(3):
        await pilot._wait_for_screen()
        await eventually(lambda: not isinstance(app, ControlCenter) or app.key_queue.is_idle or not app.is_running)
    await pilot.app.animator.wait_until_complete()


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
    return lambda: all(word in text_of(app) for word in words)


async def choose(pilot: Pilot[None], app: ControlCenter, slug: str) -> None:
    table(app).select(slug)
    await until(pilot, lambda: app.base_screen.selected_task is not None and app.base_screen.selected_task.slug == slug)
