"""The services of an engine, and what each writes about itself, read from real files."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from fake_link import FakeLink
from piloting import press, running, said, sees, text_of
from scenes import NOW, center, live, services, snapshot
from waiting import until

from keiji_engine.bus.views import LinkChanged, LinkState, ServiceStatus
from keiji_engine.logs.line_format import format_line
from keiji_engine.logs.writer import LogWriter
from keiji_tui.app import ControlCenter
from keiji_tui.screens.services import ServicesScreen


def write(folder: Path, service: str, *messages: str, limit: int | None = None, level: str = "INFO") -> None:
    log = LogWriter(folder / f"{service}.log", limit, "Africa/Nairobi")
    for message in messages:
        log.append(format_line(NOW, level, message, service=service))
    log.close()


def with_logs(folder: Path, link: FakeLink) -> ControlCenter:
    link.log_folder = folder
    write(folder, "bus", "bus online at /run/keiji")
    write(folder, "scheduler", "scheduler online", "the planner began")
    write(folder, "repo", "database open (sqlite)")
    return center(link)


def healthy() -> FakeLink:
    return FakeLink(snapshot(), LinkChanged(LinkState.LIVE))


async def test_the_log_of_the_selected_service_is_below_and_goes_on(tmp_path: Path) -> None:
    app = with_logs(tmp_path, healthy())
    async with running(app) as pilot:
        await press(pilot, "4")
        await until(pilot, sees(app, "log bus", "bus online at /run/keiji"))
        assert "•" not in text_of(app), "every line is keiji's own here, which says nothing"
        await press(pilot, "j")
        await until(pilot, sees(app, "log scheduler", "the planner began"))
        assert "bus online at" not in text_of(app)
        write(tmp_path, "scheduler", "everything is paused", level="WARN")
        await until(pilot, sees(app, "! everything is paused"))


async def test_enter_gives_it_the_whole_screen_where_the_keys_of_logs_work(tmp_path: Path) -> None:
    app = with_logs(tmp_path, healthy())
    async with running(app) as pilot:
        await press(pilot, "4", "j")
        await until(pilot, sees(app, "the planner began"))
        for key in ("enter", "l"):
            await press(pilot, key)
            await until(pilot, lambda: "SERVICE" not in text_of(app))
            await press(pilot, "ampersand", *"began", "enter")
            await until(pilot, lambda: "the planner began" in text_of(app) and "scheduler online" not in text_of(app))
            await press(pilot, "escape")
            await until(pilot, sees(app, "scheduler online"))
            await press(pilot, "escape")
            await until(pilot, sees(app, "SERVICE", "scheduler online"))
        await press(pilot, "enter", "ctrl+s")
        log_pane = app.base_screen.query_one("#log-pane")
        await until(pilot, lambda: log_pane.query_one("Input").has_focus)
        log_pane.query_one("Input").value = str(tmp_path / "saved.txt")  # type: ignore[attr-defined]
        await press(pilot, "enter")
        await until(pilot, lambda: said(app))
        assert "the planner began" in (tmp_path / "saved.txt").read_text()
        assert isinstance(app.base_screen, ServicesScreen)
        assert app.base_screen.log_pane.source is not None
        assert app.base_screen.log_pane.source.paths() == [tmp_path / "scheduler.log"]


async def test_a_key_shows_what_all_of_them_write_as_one(tmp_path: Path) -> None:
    app = with_logs(tmp_path, healthy())
    async with running(app) as pilot:
        await press(pilot, "4", "a")
        await until(pilot, sees(app, "scheduler   the planner began", "database open"))
        await press(pilot, "l")
        await until(pilot, lambda: "SERVICE" not in text_of(app))
        write(tmp_path, "watcher", "it looked")
        await until(pilot, sees(app, "it looked", "database open"))
        await press(pilot, "a")
        await until(pilot, lambda: "log bus" in text_of(app) and "it looked" not in text_of(app))


async def test_the_logs_are_there_where_no_engine_was_ever_seen(tmp_path: Path) -> None:
    app = with_logs(tmp_path, FakeLink(LinkChanged(LinkState.OFFLINE, "no engine is running")))
    write(tmp_path, "bus", "OSError: no space left on device", level="ERROR")
    async with running(app) as pilot:
        await press(pilot, "4")
        await until(pilot, sees(app, "✗ OSError: no space left on device", "unknown", "watcher"))
        assert text_of(app).splitlines()[-1].count(" start") == 1, "the key that starts the engine, once"


async def test_they_go_on_when_the_engine_is_gone_and_say_what_it_said_last(tmp_path: Path) -> None:
    link = healthy()
    app = with_logs(tmp_path, link)
    async with running(app) as pilot:
        await press(pilot, "4")
        await until(pilot, sees(app, "bus online at"))
        link.die()
        await until(pilot, sees(app, "engine offline", "· offline"))
        write(tmp_path, "bus", "written by the next one")
        await until(pilot, sees(app, "bus online at", "written by the next one", "following"))


async def test_a_log_that_is_rotated_or_emptied_is_followed_on(tmp_path: Path) -> None:
    app = with_logs(tmp_path, healthy())
    async with running(app) as pilot:
        await press(pilot, "4")
        await until(pilot, sees(app, "bus online at"))
        write(tmp_path, "bus", "after the rotation", limit=10)
        assert len(list(tmp_path.glob("bus.log.*.keiji"))) == 1
        await until(pilot, sees(app, "bus online at", "after the rotation"))
        for old in tmp_path.glob("bus.log*"):
            old.unlink()
        write(tmp_path, "bus", "anew")
        await until(pilot, lambda: "anew" in text_of(app) and "after the rotation" not in text_of(app))
        os.truncate(tmp_path / "bus.log", 0)
        await until(pilot, lambda: "anew" not in text_of(app))


async def test_one_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    app = with_logs(tmp_path, healthy())
    (tmp_path / "bus.log").unlink()
    (tmp_path / "bus.log").mkdir()
    (tmp_path / "bus.log" / "x").touch()
    async with running(app) as pilot:
        await press(pilot, "4")
        await until(pilot, sees(app, "cannot be read (Is a directory)"))


async def test_what_a_service_says_is_written_out_below_the_table() -> None:
    link = FakeLink(snapshot(parts=services(bus=ServiceStatus.FAILED)), LinkChanged(LinkState.LIVE))
    app = center(link)
    async with running(app, (60, 24)) as pilot:
        await press(pilot, "4")
        await until(pilot, sees(app, "connects terminals and commands", "the planner ended: ValueError: boom"))


async def test_each_line_says_when(tmp_path: Path) -> None:
    app, link = live()
    link.log_folder = tmp_path
    write(tmp_path, "bus", "bus online")
    async with running(app) as pilot:
        await press(pilot, "4")
        await until(pilot, sees(app, f"{datetime(2026, 11, 24, 13, 31, 57):%H:%M:%S}.000   bus online"))
