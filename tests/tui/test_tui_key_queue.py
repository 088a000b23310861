"""Keys that come faster than screens: each is dealt with before the next one, letters go to the line they are for."""

from __future__ import annotations

import pytest
from piloting import running, sees, settle, table, text_of, verbs
from scenes import live, task
from textual import events
from textual.app import App
from textual.keys import _character_to_key
from textual.widgets import Input
from waiting import until

from keiji_engine.bus.protocol import Disable
from keiji_tui.app import ControlCenter
from keiji_tui.screens.dialogs import ConfirmScreen

KEYS = {"\n": "enter", "\x1b": "escape"}


def burst(app: App[None], text: str) -> None:
    """Send keys all at once, as a paste without brackets or a slow line does."""
    driver = app._driver
    assert driver is not None
    for sign in text:
        name = KEYS.get(sign) or (sign if sign.isalnum() else _character_to_key(sign))
        driver.send_message(events.Key(name, sign))


def typed(app: ControlCenter) -> str:
    """Return what stands in the line that has the focus."""
    return app.focused.value if isinstance(app.focused, Input) else ""


@pytest.mark.parametrize(
    ("keys", "letters"),
    [
        ("/", "export"),
        (":", "repair"),
        ("N", "xerbed"),
        ("l/", "fwexbr"),
        ("l&", "!exRbr"),
        ("P", "xeRepair"),
        ("D", "exR"),
    ],
)
async def test_what_is_typed_behind_a_key_that_opens_a_line_goes_to_that_line(keys: str, letters: str) -> None:
    app, link = live(task="ping_google")
    async with running(app) as pilot:
        burst(app, keys + letters)
        await until(pilot, lambda: typed(app) == letters, f"{typed(app)!r}")
    assert not link.sent


async def test_each_key_is_about_the_row_that_the_one_before_went_to() -> None:
    app, link = live(task("a"), task("b"), task("c"))
    async with running(app) as pilot:
        burst(app, "jejep")
        await until(pilot, lambda: len(link.sent) == 3)
        assert [directive.target for directive in link.sent] == ["b", "c", "c"]
        assert table(app).selected == "c"


async def test_the_same_key_twice_at_once_is_not_two_directives() -> None:
    app, link = live(task("a"))
    link.hold.clear()
    async with running(app) as pilot:
        burst(app, "ee")
        await until(pilot, sees(app, "disable is under way"))
        link.hold.set()
        await until(pilot, lambda: verbs(link) == [Disable])


async def test_disabling_what_runs_asks_first_for_it_ends_the_run() -> None:
    app, link = live(task("a", is_running=True))
    async with running(app) as pilot:
        burst(app, "e")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen) and app.screen.focused is not None)
        await settle(pilot)
        assert "Its run that is under way is ended." in text_of(app)
        burst(app, "n")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
        assert not link.sent
        burst(app, "ey")
        await until(pilot, lambda: verbs(link) == [Disable])
