"""Small windows: one line below 40×12, dialogs that keep their input and their buttons. Wide ones: two panes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import staging
from piloting import log, press, resize, running, sees, table, text_of
from scenes import live, recent, task
from staging import Stage
from textual.geometry import Region
from textual.widgets import Button, Input
from waiting import until

from keiji_tui.screens.dialogs import ConfirmScreen, ReasonScreen
from keiji_tui.widgets.text_view import TextView


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
            await resize(pilot, size)
            await until(pilot, lambda line=line: text_of(app).split("\n")[0].strip() == line, line)
            assert text_of(app).strip() == line
        await press(pilot, "4")
        assert text_of(app).strip() == "40×12", "other screens say so too"
        await resize(pilot, (40, 12))
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


async def test_wide_screens_have_two_panes_that_can_be_zoomed_and_narrower_ones_one_above_the_other() -> None:
    app, _ = live(task("a", description="about it", recent=recent(1, 2, 3)), task("b"))
    async with running(app, (160, 30)) as pilot:
        await until(pilot, lambda: log(app).region.x >= table(app).region.right > 80, "the log is beside the list")
        assert log(app).region.bottom == table(app).region.bottom
        await press(pilot, "z")
        await until(pilot, lambda: table(app).region.width == 160 and not log(app).region)
        await press(pilot, "z", "tab", "z")
        await until(pilot, lambda: log(app).region.width >= 158 and not table(app).region)
        await press(pilot, "escape")
        await until(pilot, lambda: table(app).region.right <= log(app).region.x)
        await press(pilot, "enter")
        right = app.screen.query_one("#detail-right", TextView)
        await until(pilot, lambda: right.region.x == 80)
        await press(pilot, "tab")
        assert right.has_focus
        await resize(pilot, (159, 30))
        left = app.screen.query_one("#detail", TextView)
        await until(pilot, lambda: not right.region and left.region.width == 159 and left.has_focus)
        await press(pilot, "escape")
        await until(pilot, lambda: log(app).region.y > table(app).region.y and table(app).region.width == 159)
