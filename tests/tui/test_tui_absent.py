"""What the terminal says while there is no workspace, no engine, or one that does not answer; and what it does then."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fake_link import FakeLink
from piloting import press, running, said, sees, text_of
from scenes import NOW, center, live, snapshot, tasks
from waiting import until

from keiji.errors import InvalidSettings, KeijiError, WorkspaceMissing
from keiji.paths import Paths
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_tui.engine.bus_link import BusLink
from keiji_tui.screens.help import HelpScreen

GONE = LinkChanged(LinkState.OFFLINE, "no engine is running")
MISSING = WorkspaceMissing("there is no workspace in /srv/keiji", hint="keiji init creates it")


def without_workspace() -> FakeLink:
    link = FakeLink(GONE)
    link.workspace_error = MISSING
    return link


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


# ── no workspace ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_where_there_is_no_workspace_one_key_makes_it_and_starts_the_engine() -> None:
    link = without_workspace()
    app = center(link)
    async with running(app, (80, 24)) as pilot:
        await until(pilot, sees(app, "There is no workspace in /srv/keiji.", "i  create it", "keiji init"))
        assert "start engine" not in text_of(app)
        await press(pilot, "s")
        await until(pilot, lambda: said(app) == ["there is no workspace in /srv/keiji – press i to create it"])
        assert not link.starts
        await press(pilot, "i")
        await until(pilot, lambda: (link.makes, link.starts) == (1, 1))
        assert any("$ keiji init" in text for text in said(app))
        link.come_back(snapshot([]))
        await until(pilot, sees(app, "There are no tasks yet."))


@pytest.mark.parametrize("fails", ["make", "start"])
async def test_what_went_wrong_stays_on_the_screen(fails: str) -> None:
    link = without_workspace()
    setattr(link, f"{fails}_error", KeijiError("no space left on device", hint="remove something"))
    app = center(link)
    async with running(app, (80, 24)) as pilot:
        await until(pilot, sees(app, "There is no workspace"))
        await press(pilot, "i")
        await until(pilot, lambda: app.store.start_error)
        app.clear_notifications()
        title = "There is no workspace" if fails == "make" else "No engine is running."
        await until(pilot, sees(app, title, "no space left on device", "remove something"))
        assert link.starts == (fails == "start")


async def test_a_read_only_terminal_names_the_command_alone() -> None:
    link = without_workspace()
    app = center(link, readonly=True)
    async with running(app, (80, 24)) as pilot:
        await until(pilot, sees(app, "There is no workspace", "keiji init, then keiji system start"))
        assert "create it" not in text_of(app)
        await press(pilot, "i")
        await until(pilot, lambda: said(app) == ["the terminal is read-only (--readonly)"])
        assert not link.makes


async def test_settings_that_cannot_be_used_are_shown_with_their_line_until_they_are_put_right() -> None:
    link = FakeLink(GONE)
    link.workspace_error = InvalidSettings("/srv/keiji/settings.conf, line 3: TIME_ZONE='Mars/Base'; allowed: a zone")
    app = center(link)
    async with running(app, (80, 24)) as pilot:
        await until(pilot, sees(app, "settings.conf, line 3: TIME_ZONE='Mars/Base'", "Correct the file"))
        await press(pilot, "s")
        await until(pilot, lambda: any("line 3" in text for text in said(app)))
        assert not link.starts
        link.workspace_error = None
        await until(pilot, sees(app, "No engine is running.", "s  start the engine"))


# ── the workspace on the disk ────────────────────────────────────────────────────────────────────────────────────────


async def test_looking_for_a_workspace_makes_nothing_nor_does_starting_on_none(tmp_path: Path) -> None:
    link = BusLink(Paths.under(tmp_path / "root"))
    assert isinstance(await link.check_workspace(), WorkspaceMissing)
    with pytest.raises(WorkspaceMissing):
        await link.start_engine()
    assert not list(tmp_path.iterdir())
    await link.create_workspace()
    assert await link.check_workspace() is None


async def test_of_a_workspace_that_cannot_be_made_nothing_remains(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "root")
    (tmp_path / "root" / "workspace").mkdir(parents=True)
    (tmp_path / "root" / "workspace" / "pyproject.toml").symlink_to(tmp_path / "missing" / "file")
    with pytest.raises(KeijiError, match=r"cannot create .*pyproject\.toml: File exists"):
        await BusLink(paths).create_workspace()
    assert [path.name for path in (tmp_path / "root" / "workspace").iterdir()] == ["pyproject.toml"]


async def test_settings_that_are_there_stay_and_are_told_where_they_cannot_be_used(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    paths.workspace.mkdir()
    paths.settings.write_text("ROTATE_LOGS=1\nROTATE_LOGS=2\n")
    link = BusLink(paths)
    assert "line 2" in str(await link.check_workspace())
    for attempt in (link.create_workspace, link.start_engine):
        with pytest.raises(InvalidSettings, match="line 2"):
            await attempt()
    assert list(paths.workspace.iterdir()) == [paths.settings]
    assert list(tmp_path.iterdir()) == [paths.workspace]


# ── an engine that is not heard ──────────────────────────────────────────────────────────────────────────────────────

STALE = LinkChanged(LinkState.STALE, "the engine is late", engine_is_running=True)
STOPPED = LinkChanged(LinkState.OFFLINE, "the engine runs but does not answer", engine_is_running=True)


@pytest.mark.parametrize("width", [80, 40])
@pytest.mark.parametrize(
    ("change", "words"),
    [(STALE, "stale"), (STOPPED, "not connected"), (GONE, "offline")],
    ids=["stale", "stopped", "gone"],
)
async def test_the_banner_always_counts_for_how_long_nothing_was_heard(
    width: int, change: LinkChanged, words: str
) -> None:
    clock = Clock()
    link = FakeLink(snapshot(tasks()), LinkChanged(LinkState.LIVE))
    app = center(link, clock=clock)
    async with running(app, (width, 24)) as pilot:
        link.tell(change)
        clock.now = NOW + timedelta(seconds=12)
        await until(pilot, sees(app, words, "12s"))
        clock.now = NOW + timedelta(minutes=9, seconds=31)
        await until(pilot, sees(app, words, "9m 31s"))
        key = "" if change is STALE else "s starts it"
        assert key in text_of(app)


async def test_at_eighty_columns_it_is_said_in_words() -> None:
    app, link = live()
    async with running(app, (100, 24)) as pilot:
        link.tell(STOPPED)
        await until(pilot, sees(app, "does not answer – last update 0s ago – s starts it"))


# ── no tasks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_where_there_are_no_tasks_the_keys_that_work_come_first() -> None:
    app = center(FakeLink(snapshot([]), LinkChanged(LinkState.LIVE)))
    async with running(app, (80, 24)) as pilot:
        await until(pilot, sees(app, "There are no tasks yet."))
        assert text_of(app).splitlines()[-1].startswith(" N new task")
        await press(pilot, "question_mark")
        await until(pilot, sees(app, "The list of tasks", "N     new task"))
        assert "The selected task" not in text_of(app), "it comes last, since none of its keys works"
        assert isinstance(app.screen, HelpScreen)
        last = app.screen.text(68).plain.partition("The selected task")[2]
        assert last.count("not now: no task is selected") == 1
        assert "w     why " in last
