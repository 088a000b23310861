"""Pictures of every screen. Look at each before accepting it: ``pytest tests/tui --snapshot-update``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import staging as s
import staging_logs as logs
from piloting import resize, take_picture, text_of
from staging import Stage
from textual._context import visible_screen_stack
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from keiji_tui.app import ControlCenter
from keiji_tui.screens.backfills import BackfillsScreen
from keiji_tui.screens.base import BaseScreen
from keiji_tui.screens.build_output import BuildOutputScreen, DirectiveOutputScreen
from keiji_tui.screens.detail import DetailScreen
from keiji_tui.screens.dialogs import ConfirmScreen, Modal, ReasonScreen
from keiji_tui.screens.difference import DifferenceScreen
from keiji_tui.screens.form import FormScreen
from keiji_tui.screens.help import HelpScreen
from keiji_tui.screens.ledger import LedgerScreen
from keiji_tui.screens.list import ListScreen
from keiji_tui.screens.loading import LoadingDialog, LoadingScreen
from keiji_tui.screens.log import LogScreen
from keiji_tui.screens.palette import Palette
from keiji_tui.screens.text_dialog import TextDialog
from keiji_tui.screens.upcoming import UpcomingScreen
from keiji_tui.theme.ascii_filter import AsciiFilter
from keiji_tui.theme.themes import DARK
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.keybar import KeyBar

# Everything is looked at as wide and as narrow as terminals mostly are, and once of both without colours.
SCREENS: dict[str, tuple[Callable[[], Stage], str]] = {
    "tasks": (s.pressed(), "80x24 120x40-mono 40x24 160x45 250x40"),
    "tasks-stale": (s.stale, "80x24-mono 120x40"),
    "tasks-offline": (s.offline, "80x24 120x40-mono 100x24-light"),
    "tasks-filtered": (s.pressed("f", "f", "slash", "e"), "80x24 120x40-mono"),
    "tasks-marked": (s.pressed("S", "I", "k", "space", "space", "k"), "80x24-mono 120x40 40x24 250x30"),
    "tasks-kept-back": (s.held_back, "80x24 120x40-mono 40x24"),
    "tasks-paused": (s.paused, "80x24-mono 120x40 40x24"),
    "tasks-edited": (s.edited, "80x24 120x40-mono 100x24-light"),
    "detail": (s.detail, "80x24-mono 120x40 40x24 80x60 250x40"),
    "runs": (s.runs, "80x24 120x40-mono 40x24 250x40"),
    "log": (logs.reading(), "80x24-mono 120x40"),
    "log-found": (logs.reading("g", r"slash orders.*\d+"), "80x24 120x40-mono 40x24 100x24-light"),
    "log-filtered": (logs.reading("ampersand error", "w", "t"), "80x24 120x40-mono"),
    "log-of-a-failed-run": (logs.failed_run, "80x24-mono 120x40"),
    "log-of-several": (logs.merged, "80x24 120x40-mono 40x24"),
    "services": (s.some_services(*"jjj", lines=2), "80x24 120x40-mono 40x24"),
    "services-all": (s.some_services("a", "l", lines=5), "80x24-mono 120x40"),
    "ledger": (s.board("5", shows=LedgerScreen, row="directive-1"), "80x24-mono 120x40 40x24 250x40"),
    "upcoming": (s.board("6", "j", "j", shows=UpcomingScreen), "80x24 120x40-mono 40x24 250x40 100x24-light"),
    "difference": (s.board("d", shows=DifferenceScreen), "80x24-mono 120x40 40x24 100x24-light"),
    "build-failed": (s.failed_build, "80x24 120x40-mono 40x24"),
    "build-said": (s.board("B", shows=BuildOutputScreen), "80x24-mono 120x40"),
    "said": (s.board("5", "j", "enter", shows=DirectiveOutputScreen), "80x24 120x40-mono"),
    "help": (s.pressed("question_mark", shows=HelpScreen), "80x24-mono 120x40 40x24"),
    "no-engine": (s.no_engine, "80x24 120x40-mono 40x24"),
    "no-tasks": (s.no_tasks, "80x24-mono 120x40 40x24"),
    "confirm": (s.pressed("R", shows=ConfirmScreen), "80x24 120x40-mono"),
    "confirm-typed": (s.pressed("D", *"ping_google", shows=ConfirmScreen), "80x24-mono 120x40 40x24"),
    "confirm-many": (s.many_marked, "80x24 120x40-mono"),
    "pause-all": (s.pressed("P", *"disk", shows=ReasonScreen), "80x24-mono 120x40"),
    "new-task": (s.new_task('on.weekdays.at("6:00", "18:00")'), "80x24 120x40-mono 40x24 100x24-light"),
    "new-command": (
        s.new_task("daily at 3:00", command="pg_dump app | gzip > app.gz", policy="timeout = 30m, retry.tries = 3"),
        "80x24-mono 120x40",
    ),
    "run-form": (s.run_form, "80x24 120x40-mono 40x24"),
    "backfills": (s.board("7", shows=BackfillsScreen), "80x24 120x40-mono 40x24 160x45"),
    "backfill-form": (s.backfill_form, "80x24 120x40-mono 160x45"),
    "why": (s.why, "80x24-mono 120x40 40x24"),
    "palette": (s.pressed("colon", shows=Palette), "80x24 120x40-mono 40x24"),
}
# What differs from one of the above in a detail.
DETAILS: dict[str, tuple[Callable[[], Stage], str]] = {
    "names-of-every-kind": (s.odd_names, "80x24 40x24"),
    "none-of-a-kind": (s.pressed("f", "slash", *"zzz", "enter"), "80x24"),
    "readonly": (s.readonly, "80x24"),
    "refused": (s.pressed("A"), "80x24"),
    "log-below": (s.pressed("tab", "ctrl+u"), "80x20"),
    "log-of-no-expression": (logs.reading("slash", "(", "a"), "80x24"),
    "detail-offline": (lambda: s.offline("enter", shows=DetailScreen, of=s.failing()), "80x24"),
    "ledger-empty": (s.board("5", shows=LedgerScreen, asked_nothing=True), "80x24"),
    "no-answer": (s.no_answer, "80x24"),
    "new-task-wrong": (s.new_task("on.firday"), "80x24 40x24"),
    "tasks-nord": (s.pressed(), "100x24-nord"),
    "tasks-ansi": (s.pressed(), "100x24-ansi"),
    "tasks-ascii": (s.edited, "100x24-ascii"),
}
THEMES = {"light": "keiji-light", "nord": "nord", "ansi": "ansi-dark"}
EVERY = [(name, look) for name, (_, looks) in (SCREENS | DETAILS).items() for look in looks.split()]


@cache
def pictures(name: str) -> dict[str, str]:
    """Return look → picture of a scene, which is played once and then seen in each size and colours."""
    made, looks = (SCREENS | DETAILS)[name]
    stage = made()
    app, by_look = stage.app, {}

    async def play(pilot: Pilot[None]) -> None:
        for number, look in enumerate(looks.split()):
            size, _, colours = look.partition("-")
            await see(pilot, size_of(size), colours)
            if number == 0:
                await stage.play(pilot)
            assert type(app.screen) is stage.shows
            by_look[look] = await take_picture(pilot)
            assert_within_the_screen(app)
        app.exit()

    app.run(headless=True, size=size_of(looks.split()[0].partition("-")[0]), auto_pilot=play)
    assert app.return_code == 0, name
    return by_look


async def see(pilot: Pilot[None], size: tuple[int, int], colours: str) -> None:
    """Give the terminal a size and colours."""
    app = pilot.app
    assert isinstance(app, ControlCenter)
    app.theme = THEMES.get(colours, DARK.name)
    app.output_filters = (AsciiFilter("ascii"),) if colours == "ascii" else ()
    if app.no_color != (colours == "mono"):
        app.no_color = colours == "mono"
        app.refresh_css(animate=False)
    if app.size != size:
        await resize(pilot, size)
    await s.painted(pilot)


def size_of(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


@pytest.mark.parametrize(("name", "look"), EVERY, ids=["-".join(each) for each in EVERY])
def test_picture(assert_picture: Callable[[str], None], name: str, look: str) -> None:
    assert_picture(pictures(name)[look])


def assert_within_the_screen(app: ControlCenter) -> None:
    """Fail where anything is wider than the screen; lines that could be wider are cut where they can tell of it."""
    visible_screen_stack.set(app._background_screens)  # else a dialog would be painted over nothing
    text_of(app)  # which looks at how wide its lines are
    for widget in app.screen.walk_children():
        region = widget.region
        assert 0 <= region.x <= region.right <= app.size.width, widget
        assert isinstance(widget, Input) or not widget.show_horizontal_scrollbar, widget
        if isinstance(widget, AdaptiveLine | KeyBar) and region:
            assert widget.render().cell_length <= widget.size.width, widget


def every_kind(of: type[Screen[Any]]) -> Iterator[type[Screen[Any]]]:
    for kind in of.__subclasses__():
        yield from every_kind(kind)
        if kind.__module__.startswith("keiji_tui"):
            yield kind


def test_every_screen_is_seen_in_two_sizes_with_and_without_colours() -> None:
    for name, (_, looks) in SCREENS.items():
        sizes = [look.partition("-")[::2] for look in looks.split()[:2]]
        assert [size for size, _ in sizes] == ["80x24", "120x40"], name
        assert sorted(colours for _, colours in sizes) == ["", "mono"], name
    seen = {made().shows for made, _ in SCREENS.values()}
    made_of = {LoadingDialog, LoadingScreen, BaseScreen, ListScreen, LogScreen, Modal, FormScreen, TextDialog}
    assert seen == set(every_kind(Screen)) - made_of, "what the others are made of"


def test_there_is_no_picture_of_what_is_no_more() -> None:
    folder = Path(__file__).parent / "__snapshots__"
    assert {file.parent.name for file in folder.rglob("*.svg")} == {Path(__file__).stem}
    assert {file.stem for file in folder.rglob("*.svg")} == {f"test_picture[{name}-{look}]" for name, look in EVERY}
