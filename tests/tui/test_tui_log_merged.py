"""The logs of several marked tasks as one, and the lines that somebody draws in a log."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from fake_link import FakeLink
from piloting import press, running, sees, text_of
from scenes import before, center, snapshot, task
from test_tui_log_finding import asked
from textual.widgets import Input
from waiting import until

from keiji_engine.bus.protocol import LogChunk, LogSlice
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_tui.app import ControlCenter
from keiji_tui.logs.prompt import LogPrompt
from keiji_tui.logs.view import LogView
from keiji_tui.screens.log import MergedLogScreen


def log(app: ControlCenter) -> LogView:
    return app.board.query_one(LogView)


NAMES = ("backup", "計時 [x]", "mail")
LINES = 60


def printed(slug: str, number: int, words: str) -> str:
    moment = before(seconds=600) + timedelta(seconds=3 * number + NAMES.index(slug))
    return f'time={moment.isoformat(timespec="milliseconds")} level=INFO run={slug[:2]} msg="{words}"\n'


def three() -> FakeLink:
    """Return a link to three tasks that print by turns."""
    link = FakeLink(snapshot([task(name, slug=name) for name in NAMES]), LinkChanged(LinkState.LIVE))
    for name in NAMES:
        far = "x" * 90 if name == "mail" else ""
        text = "".join(printed(name, number, f"{far}line {number} of {name}") for number in range(LINES))
        size = len(text.encode())
        link.files[name] = text.encode()
        link._logs[name] = [LogSlice(id="l", task=name, position=0, end=size, size=size, text=text)]
    return link


async def merged(pilot, app: ControlCenter) -> None:  # type: ignore[no-untyped-def]
    await until(pilot, lambda: len(app.store.tasks) == 3)
    await press(pilot, "space", "space", "space", "l")
    await until(pilot, lambda: isinstance(app.screen, MergedLogScreen) and log(app).visible_lines)


async def test_the_logs_of_marked_tasks_are_one_log_by_time_with_their_names() -> None:
    app = center(three())
    async with running(app, (100, 30)) as pilot:
        await merged(pilot, app)
        rows = [row.split() for row in text_of(app).splitlines()[4:-1]]
        assert [row[1] for row in rows[-3:]] == ["backup", "計時", "mail"]
        times = [row[0] for row in rows]
        assert times == sorted(times)
        assert "logs backup, mail, 計時 [x]" in text_of(app)
        await press(pilot, "g")
        await until(pilot, lambda: "line 0 of backup" in text_of(app))
        await press(pilot, "escape")
        await until(pilot, lambda: not isinstance(app.screen, MergedLogScreen))


async def test_what_comes_is_added_and_who_scrolled_up_stays() -> None:
    link = three()
    app = center(link)
    async with running(app, (100, 30)) as pilot:
        await merged(pilot, app)
        text = printed("backup", LINES + 1, "the newest")
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


async def test_finding_and_filtering_go_through_all_of_them() -> None:
    app = center(three())
    async with running(app, (100, 30)) as pilot:
        await merged(pilot, app)
        await asked(pilot, app, "slash", "line 7 of")
        await until(pilot, lambda: log(app).is_current_visible)
        await press(pilot, "N")
        await until(pilot, lambda: log(app).is_current_visible and "計時" in log(app).copied_text(here(app)))
        await press(pilot, "escape")
        await asked(pilot, app, "ampersand", "line 1[12] of")
        await until(pilot, lambda: len(log(app).visible_lines) == 6)
        assert [log(app).copied_text(line) for line in log(app).visible_lines][::3] == [
            "backup: line 11 of backup", "backup: line 12 of backup",
        ]  # fmt: skip


def here(app: ControlCenter):  # type: ignore[no-untyped-def]
    return next(line for line in log(app).visible_lines if line.position == log(app).current)


async def test_a_match_far_to_the_right_is_brought_into_view() -> None:
    app = center(three())
    async with running(app, (80, 24)) as pilot:
        await merged(pilot, app)
        await asked(pilot, app, "slash", "line 40 of mail")
        await until(pilot, lambda: log(app).pan > 0)
        assert any("line 40 of mail" in row for row in text_of(app).splitlines()[4:])
        assert "‹" in text_of(app)


async def test_several_logs_are_saved_with_the_names_of_their_tasks(tmp_path: Path) -> None:
    path = tmp_path / "all.txt"
    app = center(three())
    async with running(app, (100, 30)) as pilot:
        await merged(pilot, app)
        await press(pilot, "ctrl+s")
        await until(pilot, lambda: app.screen.query_one(LogPrompt).is_open)
        assert app.screen.query_one(LogPrompt).query_one(Input).value.endswith("backup-mail-計時 [x].txt")
        app.screen.query_one(LogPrompt).query_one(Input).value = str(path)
        await press(pilot, "enter")
        await until(pilot, lambda: path.exists() and path.read_text().count("\n") == 3 * LINES)
    lines = path.read_text().splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["backup", "計時", "mail"]
    assert lines[-1].startswith("mail ")


async def test_one_marked_task_or_none_has_its_log_below() -> None:
    app = center(three())
    async with running(app, (100, 30)) as pilot:
        await until(pilot, lambda: len(app.store.tasks) == 3)
        await press(pilot, "space", "l")
        assert not isinstance(app.screen, MergedLogScreen)
        assert app.screen.has_class("-zoom-log")


async def test_a_line_is_drawn_under_what_is_known_and_found_again() -> None:
    app = center(three())
    async with running(app, (100, 30)) as pilot:
        await merged(pilot, app)
        await press(pilot, "m")
        await until(pilot, sees(app, "── mark ──"))
        await press(pilot, "g")
        await until(pilot, lambda: "── mark" not in text_of(app))
        await press(pilot, "M")
        await until(pilot, sees(app, "── mark"))
        await press(pilot, "f", "m")
        await until(pilot, lambda: "── mark" not in text_of(app))
