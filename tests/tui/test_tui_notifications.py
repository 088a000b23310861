"""Messages over the screen: few, small, and gone when somebody says so."""

from __future__ import annotations

import pytest
from piloting import press, running, said, sees, settle, text_of
from scenes import live, task
from textual.widgets._toast import Toast
from waiting import until

from keiji_tui.actions.catalog import BY_ID

LONG = "a reason of many words " * 12


async def test_what_is_said_again_takes_the_place_of_what_was_said() -> None:
    app, _ = live(task("a"))
    async with running(app) as pilot:
        for words in ("copied: a", "saved", "copied: a"):
            app.notify(words)
        await settle(pilot)
        assert said(app) == ["saved", "copied: a"]
        app.base_screen.refuse(BY_ID["stop"], "a is not running")
        app.base_screen.refuse(BY_ID["run"], "a is already running")
        await settle(pilot)
        assert said(app) == ["saved", "copied: a", "a is already running"]


async def test_escape_takes_messages_away_before_it_does_anything_else() -> None:
    app, _ = live(task("a"), task("b"))
    async with running(app) as pilot:
        await press(pilot, "slash", "b", "enter", "x")
        await until(pilot, sees(app, "not now", "1 of 2"))
        await press(pilot, "escape")
        await until(pilot, lambda: "not now" not in text_of(app))
        assert not said(app)
        assert app.store.name_filter == "b"
        await press(pilot, "escape")
        assert app.store.name_filter == ""


async def test_many_complaints_are_one_message_and_how_many_more_there_are() -> None:
    app, _ = live(task("a"), config_errors=[f"keys.conf, line {number}: no" for number in range(9)])
    async with running(app) as pilot:
        await until(pilot, lambda: said(app))
        assert said(app)[0].splitlines()[-1] == "and 5 more"
        assert len(said(app)) == 1


@pytest.mark.parametrize(("width", "most"), [(250, 60), (120, 60), (100, 50), (80, 40)])
async def test_a_message_is_no_wider_than_half_the_screen_and_stands_above_the_keys(width: int, most: int) -> None:
    app, _ = live(task("a"))
    async with running(app, (width, 24)) as pilot:
        app.notify(LONG)
        await until(pilot, sees(app, "a reason"))
        await settle(pilot)
        region = app.screen.query_one(Toast).region
        assert region.width <= most
        assert (region.right, region.bottom) == (width - 2, 23)
