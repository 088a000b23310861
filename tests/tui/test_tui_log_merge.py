"""The merged logs of several tasks, and marks in a log."""

from __future__ import annotations

from pathlib import Path

from log_scenes import MERGED_LINES, enter, link_with_merged_tasks, merged_line
from piloting import press, running, sees, text_of
from scenes import center
from textual.pilot import Pilot
from textual.widgets import Input
from waiting import until

from keiji_engine.bus.protocol import LogChunk
from keiji_tui.app import ControlCenter
from keiji_tui.logs.chunk import Line
from keiji_tui.logs.prompt import LogPrompt
from keiji_tui.logs.view import LogView
from keiji_tui.screens.log import MergedLogScreen


def log(app: ControlCenter) -> LogView:
    return app.board.query_one(LogView)


async def open_merged(pilot: Pilot[None], app: ControlCenter) -> None:
    """Mark all tasks and open their merged log."""
    await until(pilot, lambda: len(app.store.tasks) == 3)
    await press(pilot, "space", "space", "space", "l")
    await until(pilot, lambda: isinstance(app.screen, MergedLogScreen) and log(app).visible_lines)


async def test_the_logs_of_marked_tasks_are_merged_by_time_with_their_names() -> None:
    app = center(link_with_merged_tasks())
    async with running(app, (100, 30)) as pilot:
        await open_merged(pilot, app)
        rows = [row.split() for row in text_of(app).splitlines()[4:-1]]
        assert [row[1] for row in rows[-3:]] == ["backup", "計時", "mail"]
        times = [row[0] for row in rows]
        assert times == sorted(times)
        assert "logs backup, mail, 計時 [x]" in text_of(app)
        await press(pilot, "g")
        await until(pilot, lambda: "line 0 of backup" in text_of(app))
        await press(pilot, "escape")
        await until(pilot, lambda: not isinstance(app.screen, MergedLogScreen))


async def test_new_lines_are_added_and_the_view_stays_put_after_scrolling_up() -> None:
    link = link_with_merged_tasks()
    app = center(link)
    async with running(app, (100, 30)) as pilot:
        await open_merged(pilot, app)
        text = merged_line("backup", MERGED_LINES + 1, "the newest")
        known = len(link.files["backup"])
        link.print(LogChunk(task="backup", position=known, end=known + len(text), text=text))
        await until(pilot, sees(app, "the newest"))
        await press(pilot, "k", "k")
        top = log(app).top
        link.print(
            LogChunk(task="mail", position=len(link.files["mail"]), end=len(link.files["mail"]) + 5, text="more\n")
        )
        await until(pilot, sees(app, "+1 line"))
        assert log(app).top == top


async def test_searches_and_filters_apply_to_all_logs() -> None:
    app = center(link_with_merged_tasks())
    async with running(app, (100, 30)) as pilot:
        await open_merged(pilot, app)
        await enter(pilot, app, "slash", "line 7 of")
        await until(pilot, lambda: log(app).is_current_visible)
        await press(pilot, "N")
        await until(pilot, lambda: log(app).is_current_visible and "計時" in log(app).copied_text(current_line(app)))
        await press(pilot, "escape")
        await enter(pilot, app, "ampersand", "line 1[12] of")
        await until(pilot, lambda: len(log(app).visible_lines) == 6)
        assert [log(app).copied_text(line) for line in log(app).visible_lines][::3] == [
            "backup: line 11 of backup", "backup: line 12 of backup",
        ]  # fmt: skip


def current_line(app: ControlCenter) -> Line:
    return next(line for line in log(app).visible_lines if line.position == log(app).current)


async def test_the_view_scrolls_to_the_right_to_a_match() -> None:
    app = center(link_with_merged_tasks())
    async with running(app, (80, 24)) as pilot:
        await open_merged(pilot, app)
        await enter(pilot, app, "slash", "line 40 of mail")
        await until(pilot, lambda: log(app).pan > 0)
        assert any("line 40 of mail" in row for row in text_of(app).splitlines()[4:])
        assert "‹" in text_of(app)


async def test_merged_lines_are_saved_with_the_names_of_their_tasks(tmp_path: Path) -> None:
    path = tmp_path / "all.txt"
    app = center(link_with_merged_tasks())
    async with running(app, (100, 30)) as pilot:
        await open_merged(pilot, app)
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: app.screen.query_one(LogPrompt).is_open)
        assert app.screen.query_one(LogPrompt).query_one(Input).value.endswith("backup-mail-計時 [x].txt")
        app.screen.query_one(LogPrompt).query_one(Input).value = str(path)
        await press(pilot, "enter")
        await until(pilot, lambda: path.exists() and path.read_text().count("\n") == 3 * MERGED_LINES)
    lines = path.read_text().splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["backup", "計時", "mail"]
    assert lines[-1].startswith("mail ")


async def test_the_log_of_one_marked_task_is_not_merged() -> None:
    app = center(link_with_merged_tasks())
    async with running(app, (100, 30)) as pilot:
        await until(pilot, lambda: len(app.store.tasks) == 3)
        await press(pilot, "space", "l")
        assert not isinstance(app.screen, MergedLogScreen)
        assert app.screen.has_class("-zoom-log")


async def test_a_mark_is_drawn_below_the_last_line_and_found_again() -> None:
    app = center(link_with_merged_tasks())
    async with running(app, (100, 30)) as pilot:
        await open_merged(pilot, app)
        await press(pilot, "m")
        await until(pilot, sees(app, "── mark ──"))
        await press(pilot, "g")
        await until(pilot, lambda: "── mark" not in text_of(app))
        await press(pilot, "M")
        await until(pilot, sees(app, "── mark"))
        await press(pilot, "f", "m")
        await until(pilot, lambda: "── mark" not in text_of(app))
