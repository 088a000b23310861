"""Small windows: one line below 40×12, and dialogs that keep their input and their buttons."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import staging
from piloting import press, running, sees, text_of
from scenes import live
from staging import Stage
from textual.geometry import Region
from textual.widgets import Button, Input
from waiting import until

from keiji_tui.screens.dialogs import ConfirmScreen, ReasonScreen


async def test_a_window_that_is_too_small_says_how_large_it_has_to_be() -> None:
    app, _ = live()
    async with running(app, (40, 12)) as pilot:
        await until(pilot, sees(app, "backup", "? help"))
        for size, line in (
            ((39, 12), "The window is too small; it needs 40×12"),
            ((200, 11), "The window is too small; it needs 40×12"),
            ((30, 5), "too small: needs 40×12"),
            ((12, 2), "needs 40×12"),
            ((5, 1), "40×12"),
        ):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda line=line: text_of(app).split("\n")[0].strip() == line, line)
            assert text_of(app).strip() == line
        await press(pilot, "4")
        assert text_of(app).strip() == "40×12", "other screens say so too"
        await pilot.resize_terminal(40, 12)
        await until(pilot, sees(app, "scheduler", "online", "? help"))


@pytest.mark.parametrize(
    "scene",
    [
        staging.pressed("R", shows=ConfirmScreen),
        staging.pressed("D", *"ping_google", shows=ConfirmScreen),
        staging.many_marked,
        staging.pressed("P", *"disk", shows=ReasonScreen),
        staging.new_task("on.firday"),
    ],
    ids=["confirm", "confirm-typed", "confirm-many", "reason", "new-task"],
)
async def test_dialogs_always_show_their_input_and_their_buttons(scene: Callable[[], Stage]) -> None:
    stage = scene()
    app = stage.app
    async with app.run_test(size=(40, 12)) as pilot:
        await stage.play(pilot)
        dialog = app.screen.query_one(".dialog")
        inside = dialog.region.shrink(dialog.styles.border.spacing)
        needed = [*app.screen.query(Button), *app.screen.query(Input)]
        assert Region(0, 0, 40, 12).contains_region(dialog.region)
        assert [each for each in needed if not inside.contains_region(each.region)] == []
        lines = {each.region.y for each in needed}
        assert len(lines) == len(app.screen.query(Input)) + 1, "nothing covers anything else"
