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
from keiji_tui.logs.prompt import LogPrompt
from keiji_tui.logs.view import LogView
from keiji_tui.screens.log import MergedLogScreen


def log(app: ControlCenter) -> LogView:
    return app.base_screen.query_one(LogView)


async def open_merged(pilot: Pilot[None], app: ControlCenter) -> None:
    """Mark all tasks and open their merged log."""
    await until(pilot, lambda: len(app.store.tasks) == 3)
    await press(pilot, "space", "space", "space", "l")
    await until(pilot, lambda: isinstance(app.screen, MergedLogScreen) and log(app).visible_lines)


def current_text(app: ControlCenter) -> str:
    line = next(line for line in log(app).visible_lines if line.position == log(app).current)
    return log(app).copied_text(line)


async def test_the_logs_of_marked_tasks_are_merged_by_time_with_their_names() -> None:
    link = link_with_merged_tasks()
    app = center(link)
    async with running(app, (100, 30)) as pilot:
        await until(pilot, lambda: len(app.store.tasks) == 3)
        await press(pilot, "space", "l")  # the log of one marked task is not merged
        assert not isinstance(app.screen, MergedLogScreen)
        assert app.screen.has_class("-zoom-log")
        await press(pilot, "escape", "escape", "g")
        await until(pilot, lambda: not app.store.marks)
        await open_merged(pilot, app)
        rows = [row.split() for row in text_of(app).splitlines()[4:-1]]
        assert [row[1] for row in rows[-3:]] == ["backup", "計時", "mail"]
        times = [row[0] for row in rows]
        assert times == sorted(times)
        assert "logs backup, mail, 計時 [x]" in text_of(app)
        text = merged_line("backup", MERGED_LINES + 1, "the newest")
        known = len(link.files["backup"])
        link.print(LogChunk(task="backup", position=known, end=known + len(text), text=text))
        await until(pilot, sees(app, "the newest"))
        await press(pilot, "k", "k")
        top, known = log(app).top, len(link.files["mail"])
        link.print(LogChunk(task="mail", position=known, end=known + 5, text="more\n"))
        await until(pilot, sees(app, "+1 line"))
        assert log(app).top == top
        await press(pilot, "f", "m")
        await until(pilot, sees(app, "── mark ──"))
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0 of backup"))
        assert "── mark" not in text_of(app)
        await press(pilot, "M")
        await until(pilot, sees(app, "── mark"))
        await press(pilot, "f", "m")
        await until(pilot, lambda: "── mark" not in text_of(app))
        await press(pilot, "escape")
        await until(pilot, lambda: not isinstance(app.screen, MergedLogScreen))


async def test_merged_logs_are_searched_filtered_and_saved(tmp_path: Path) -> None:
    path = tmp_path / "all.txt"
    app = center(link_with_merged_tasks())
    async with running(app, (80, 24)) as pilot:
        await open_merged(pilot, app)
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: app.screen.query_one(LogPrompt).is_open)
        assert app.screen.query_one(LogPrompt).query_one(Input).value.endswith("backup-mail-計時 [x].txt")
        app.screen.query_one(LogPrompt).query_one(Input).value = str(path)
        await press(pilot, "enter")
        await until(pilot, lambda: path.exists() and path.read_text().count("\n") == 3 * MERGED_LINES)
        await until(pilot, lambda: log(app).has_focus)
        await enter(pilot, app, "slash", "line 40 of mail")  # which is too far to the right
        await until(pilot, lambda: log(app).pan > 0)
        assert any("line 40 of mail" in row for row in text_of(app).splitlines()[4:])
        assert "‹" in text_of(app)
        await press(pilot, "G")
        await enter(pilot, app, "slash", "line 7 of")
        await until(pilot, lambda: log(app).is_current_visible and "mail" in current_text(app))
        await press(pilot, "N")
        await until(pilot, lambda: log(app).is_current_visible and "計時" in current_text(app))
        await enter(pilot, app, "ampersand", "line 1[12] of")
        await until(pilot, lambda: len(log(app).visible_lines) == 6)
        assert [log(app).copied_text(line) for line in log(app).visible_lines][::3] == [
            "backup: line 11 of backup", "backup: line 12 of backup",
        ]  # fmt: skip
    lines = path.read_text().splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["backup", "計時", "mail"]
    assert lines[-1].startswith("mail ")
