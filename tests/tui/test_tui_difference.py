"""How sources differ from their build: shown, scrolled, and built from there."""

from __future__ import annotations

from answers import differing
from piloting import press, running, said, sees, text_of
from scenes import live, task
from waiting import until

from keiji.errors import BuildFailed
from keiji.records import FileDifference
from keiji_engine.bus.protocol import BuildTask, Difference, TaskChanged
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_tui.screens.detail import DetailScreen
from keiji_tui.screens.difference import DifferenceScreen
from keiji_tui.screens.tasks import TasksScreen
from keiji_tui.widgets.text_view import TextView

NOTHING = Difference(id="d", task="", build="3f9a2c1e00000000", files=())


async def test_the_offer_leads_to_the_difference_and_from_there_it_is_built() -> None:
    app, link = live(task("ping", source_changes=("function.py",)))
    link.differing = differing()
    async with running(app, (100, 40)) as pilot:
        await until(pilot, sees(app, "d compare", "b rebuild and restart", "L later"))
        await press(pilot, "d")
        await until(pilot, lambda: isinstance(app.screen, DifferenceScreen))
        await until(pilot, sees(app, "~ edited function.py", '-    print("Pinging Google....")', "[bold]hello[/bold]"))
        assert "5 files, +3 -4 against 3f9a2c1e" in text_of(app)
        for words in ("logo.png  binary", "- removed old/[b]helper[/b].py", "prod.env  not shown: it may hold secrets"):
            assert words in text_of(app)
        rows = text_of(app).splitlines()
        first = next(y for y, row in enumerate(rows) if "def function" in row)
        await pilot.mouse_down(offset=(rows[first].index("def"), first))
        await pilot.hover(offset=(rows[first + 1].index("Pinging"), first + 1))
        await pilot.mouse_up(offset=(rows[first + 1].index("Pinging"), first + 1))
        await press(pilot, "y")
        await until(pilot, lambda: app.clipboard == 'def function():\n-    print("P')
        await press(pilot, "b")
        await until(pilot, lambda: link.sent)
        directive = link.sent[0]
        assert isinstance(directive, BuildTask)
        assert directive.restart
        link.differing = NOTHING
        link.happen(TaskChanged(task=task("ping", build="c" * 64)))
        await until(pilot, sees(app, "No differences."))
        await press(pilot, "escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, TasksScreen))


async def test_the_difference_follows_edits_and_keeps_its_place() -> None:
    lines = ("@@ -1,99 +1,99 @@", *(f" line {number}" for number in range(99)))
    app, link = live(task("ping", source_changes=("a.py",)))
    link.differing = Difference(
        id="d", task="", build="x", files=(FileDifference(path="a.py", change="edited", lines=lines),)
    )
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "d")
        await until(pilot, sees(app, "~ edited a.py"))
        sheet = app.screen.query_one(TextView)
        await press(pilot, "ctrl+d", "j")
        await until(pilot, lambda: sheet.scroll_offset.y > 5)
        place = sheet.scroll_offset.y
        link.differing = Difference(
            id="d", task="", build="x", files=(FileDifference(path="a.py", change="edited", lines=(*lines, "+more")),)
        )
        link.happen(TaskChanged(task=task("ping", source_changes=("a.py", "b.py"))))
        await until(pilot, lambda: "+1 -0" in text_of(app))
        assert sheet.scroll_offset.y == place
        await press(pilot, "G")
        await until(pilot, sees(app, "+more"))
        await press(pilot, "g")
        await until(pilot, sees(app, "~ edited a.py"))


async def test_long_lines_are_read_to_the_right_and_files_are_jumped_to() -> None:
    app, link = live(task="ping_google")
    link.differing = differing()
    async with running(app, (60, 16)) as pilot:
        await press(pilot, "d")
        await until(pilot, sees(app, "~ edited function.py", "›"))
        await press(pilot, *["right"] * 5)
        await until(pilot, sees(app, "allow_redirects=False)", "‹"))
        await press(pilot, *["left"] * 9, "right_square_bracket")
        await until(pilot, lambda: "~ edited function.py" not in text_of(app))
        await until(pilot, sees(app, "~ edited logo.png  binary"))
        await press(pilot, "left_square_bracket")
        await until(pilot, sees(app, "~ edited function.py"))


async def test_why_it_cannot_be_compared_is_said_with_what_to_do() -> None:
    app, link = live(task("ping", source_changes=("function.py",), source_error="function.py, line 3: invalid syntax"))
    link.differing = BuildFailed("the build 3f9a is not there any more", hint="keiji task build ping")
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "d")
        await until(pilot, sees(app, "the build 3f9a is not there any more", "b  build the current sources"))
        await until(pilot, sees(app, "✗ function.py, line 3: invalid syntax"))


async def test_the_difference_stays_while_the_engine_is_away() -> None:
    app, link = live(task="ping_google")
    link.differing = differing()
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "d")
        await until(pilot, sees(app, "~ edited function.py"))
        link.tell(LinkChanged(LinkState.STALE, "late"))
        await until(pilot, sees(app, "last known state", "~ edited function.py"))
        link.die()
        await until(pilot, sees(app, "engine offline", "~ edited function.py"))
        await press(pilot, "b")
        await until(pilot, lambda: said(app))
        assert not link.sent
        await press(pilot, "escape", "escape", "d")
        await until(pilot, lambda: said(app))
        assert isinstance(app.screen, TasksScreen)


async def test_going_round_between_the_screens_of_a_task_does_not_pile_them_up() -> None:
    app, _ = live(task="ping_google")
    async with running(app) as pilot:
        for _ in range(4):
            await press(pilot, "enter")
            await until(pilot, lambda: isinstance(app.screen, DetailScreen))
            await press(pilot, "d")
            await until(pilot, lambda: isinstance(app.screen, DifferenceScreen))
        assert len(app.screen_stack) == 3
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, TasksScreen))
