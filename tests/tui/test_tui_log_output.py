"""Copying and saving a log, and opening it in the pager."""

from __future__ import annotations

from pathlib import Path

import pytest
from log_scenes import RUN_LINES, LogLink, enter, line_with, link_with_runs, open_log
from piloting import log, press, running, sees, text_of
from scenes import center
from textual.widgets import Input
from waiting import until

from keiji_tui.logs.prompt import LogPrompt


async def test_the_current_line_the_selection_or_the_visible_lines_are_copied() -> None:
    app = center(link_with_runs())
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0009999")
        await until(pilot, lambda: log(app).size.height > 20)
        await press(pilot, "y")
        await until(pilot, lambda: app.clipboard)
        assert app.clipboard.splitlines()[-1] == "line 0009999"
        assert len(app.clipboard.splitlines()) == log(app).size.height
        x = text_of(app).splitlines()[10].index("line")
        await pilot.mouse_down(offset=(x, 10))
        await pilot.hover(offset=(x + 12, 12))
        await pilot.mouse_up(offset=(x + 12, 12))
        await press(pilot, "y")
        selected = app.clipboard.splitlines()
        assert len(selected) == 3
        assert selected[0].startswith("line 0")
        assert selected[0] in text_of(app).splitlines()[10]
        app.screen.clear_selection()
        await enter(pilot, app, "slash", "0001234")
        await until(pilot, lambda: log(app).is_current_visible)
        await press(pilot, "y")
        assert app.clipboard == "line 0001234"


async def test_copied_text_has_no_escape_sequences_and_full_paths() -> None:
    path = "/keiji/builds/0123456789abcdef/src/function.py"
    link = LogLink(line_with(r"\x1b]52;c;ZXZpbA==\x07\x1b[31mred\x1b[0m \x1b[?1049htext") + line_with(f"see {path}"))
    app = center(link)
    async with running(app) as pilot:
        await open_log(pilot, app, "red text")
        assert "see function.py" in text_of(app)
        await press(pilot, "y")
        assert app.clipboard == f"red text\nsee {path}"


async def test_the_visible_run_is_saved_and_an_existing_file_only_after_a_warning(tmp_path: Path) -> None:
    app = center(link_with_runs())
    path = tmp_path / "run.txt"
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0009999")
        await enter(pilot, app, "ctrl+s", str(tmp_path / "nowhere" / "file"))
        await until(pilot, sees(app, "✗ No such file or directory"))
        assert app.screen.query_one(LogPrompt).query_one(Input).has_focus
        await press(pilot, "escape")
        await enter(pilot, app, "slash", "0001234")
        await until(pilot, lambda: log(app).is_current_visible)
        await enter(pilot, app, "ctrl+s", str(path))
        await until(pilot, sees(app, "saved run 02020202, 500 lines"))
        saved = path.read_text().splitlines()
        assert (saved[0][-18:], saved[-1][-12:], len(saved)) == ("INFO  line 0001000", "line 0001499", RUN_LINES)
        await enter(pilot, app, "ampersand", "line 00.*99$")
        await until(pilot, lambda: "only “line" in text_of(app) and len(log(app).buffer) == 100)
        await enter(pilot, app, "ctrl+s", str(path))
        await until(pilot, sees(app, "the file exists"))
        assert len(path.read_text().splitlines()) == RUN_LINES
        await press(pilot, "enter")
        await until(pilot, sees(app, "saved 100 lines"))
    assert len(path.read_text().splitlines()) == 100


async def test_a_pager_that_cannot_be_started_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = link_with_runs(1)
    app = center(link)
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0000499")
        monkeypatch.setenv("PAGER", "true")
        await press(pilot, "o")
        await until(pilot, sees(app, "this log has no file on this machine"))
        link.log_folder = tmp_path
        (tmp_path / "a.log").write_text("x\n")
        await press(pilot, "o")
        await until(pilot, sees(app, "this terminal cannot run other programs"))
        for pager, reason in (("/no/such", "command not found"), ("less 'x", "No closing quotation")):
            monkeypatch.setenv("PAGER", pager)
            await press(pilot, "o")
            await until(pilot, sees(app, reason))
