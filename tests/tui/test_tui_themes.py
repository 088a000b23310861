"""Colours: all themes leave the screen whole and readable, one that was chosen is remembered."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import staging
from piloting import found, press, running, sees, text_of
from scenes import PAUSE, kept_back, live, services, task
from textual.color import Color
from textual.command import CommandPalette
from textual.screen import ModalScreen
from textual.theme import BUILTIN_THEMES, Theme
from waiting import until

import keiji_tui
from keiji_engine.bus.protocol import ServiceChanged
from keiji_engine.bus.views import ServiceStatus
from keiji_tui import preferences
from keiji_tui.app import ControlCenter
from keiji_tui.cli import unknown_theme
from keiji_tui.screens.detail import DetailScreen
from keiji_tui.screens.dialogs import ConfirmScreen
from keiji_tui.screens.palette import Palette
from keiji_tui.theme.contrast import DISABLED, TEXT, contrast_ratio
from keiji_tui.theme.themes import KEIJI_THEMES, custom_variables, readable_variables

TEXTS = {
    "foreground", "text-muted", "text-primary", "text-secondary", "text-success", "text-warning", "text-error",
    "text-accent", "key",
}  # fmt: skip
SYMBOLS = {"text-disabled", "bar"}
BACKGROUNDS = {
    "background", "surface", "panel", "row-selected", "row-focused", "banner-warning", "banner-error", "banner-offer",
}  # fmt: skip


async def test_every_theme_shows_the_same_words_with_enough_contrast() -> None:
    """The screen has all kinds of lines: a warning, an offer, a selected row, disabled items and a message."""
    views = [msgspec.structs.replace(view, source_changes=("function.py",)) for view in kept_back()]
    app, link = live(*views, task("off", is_disabled=True), task="export", pause=PAUSE)
    async with running(app) as pilot:
        link.happen(ServiceChanged(service=services(watcher=ServiceStatus.FAILED)[-1]))
        app.notify("a message", title="its title", severity="error", timeout=600)
        await until(pilot, sees(app, "export", "held after 3 failures", "no output yet", "a message", "watcher fa"))
        words = text_of(app)
        assert {"keiji", "keiji-light", "textual-light", "nord"} <= {*app.available_themes}
        for name in app.available_themes:
            app.theme = name
            await until(pilot, lambda wanted=name: app.current_theme.name == wanted)
            await pilot.pause()
            assert text_of(app) == words, name
            assert unreadable(app) == {}, name


@pytest.mark.parametrize(
    "scene",
    [
        staging.pressed("D", *"ping", shows=ConfirmScreen),
        staging.pressed("colon", shows=Palette),
        staging.new_task("on.firday"),
        lambda: staging.offline("enter", shows=DetailScreen, of=staging.failing()),
    ],
    ids=["button-disabled", "palette", "new-task", "stale"],
)
async def test_dialogs_and_stale_screens_have_enough_contrast(scene: Callable[[], staging.Stage]) -> None:
    stage = scene()
    app = stage.app
    async with app.run_test(size=(100, 30)) as pilot:
        await stage.play(pilot)
        for name in ("keiji", "textual-light", "nord", "solarized-light"):
            app.theme = name
            await until(pilot, lambda wanted=name: app.current_theme.name == wanted)
            await pilot.pause()
            assert unreadable(app) == {}, name


def unreadable(app: ControlCenter) -> dict[str, float]:
    """Return text on the screen with too little contrast, and its contrast.

    What a dialog covers is not looked at, nor are themes whose colours the terminal chooses.
    """
    if app.current_theme.ansi:
        return {}
    disabled = app.theme_variables["text-disabled"]
    dialogs = app.screen.query(".dialog, CommandPalette #--container")
    region = dialogs.first().region if isinstance(app.screen, ModalScreen) else app.screen.region
    strips = app.screen._compositor.render_strips()[region.y : region.bottom]
    found = {}
    for segment in (segment for strip in strips for segment in strip.crop(region.x, region.right)):
        style = segment.style
        if style is None or not any(map(str.isalnum, segment.text)) or not (style.color and style.bgcolor):
            continue
        colours = [Color.from_rich_color(each) for each in (style.color, style.bgcolor)]
        is_disabled = app.screen.has_class("stale") or colours[0].hex == disabled
        ratio = contrast_ratio(*colours)
        if ratio < (DISABLED if is_disabled else TEXT):
            found[segment.text.strip()] = ratio
    return found


async def test_a_theme_is_chosen_in_the_palette_and_saved() -> None:
    chosen: list[str] = []
    app, _ = live(save_theme=chosen.append)
    async with running(app) as pilot:
        assert app.theme == "keiji"
        await press(pilot, "T")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await press(pilot, *"keiji-li")
        await until(pilot, lambda: found(app) == ["keiji-light"], "the one that fits is offered")
        await press(pilot, "down", "enter")
        await until(pilot, lambda: chosen == ["keiji-light"], str(chosen))
        await press(pilot, "colon", *"theme")
        await until(pilot, lambda: any("choose a colour theme" in offer for offer in found(app)))
        await press(pilot, "enter")
        await until(pilot, lambda: "nord" in found(app))
    app, _ = live(theme="keiji-light", save_theme=chosen.append)
    async with running(app):
        assert app.theme == "keiji-light"
    app, _ = live(theme="one that is no more")
    async with running(app):
        assert app.theme == "keiji"
    assert chosen == ["keiji-light"]


@pytest.mark.parametrize("theme", [*KEIJI_THEMES, *BUILTIN_THEMES.values()], ids=lambda theme: theme.name)
def test_all_text_contrasts_with_all_backgrounds(theme: Theme) -> None:
    if theme.ansi:
        return
    colours = {**custom_variables(theme), **theme.to_color_system().generate(), **theme.variables}
    found = {name: Color.parse(value) for name, value in readable_variables(colours, is_dark=theme.dark).items()
             if name in TEXTS | SYMBOLS | BACKGROUNDS}  # fmt: skip
    ratios = {(text, behind): contrast_ratio(found[text], found[behind])
              for text in TEXTS | SYMBOLS for behind in BACKGROUNDS}  # fmt: skip
    weak = {pair: ratio for pair, ratio in ratios.items() if ratio < (DISABLED if pair[0] in SYMBOLS else TEXT)}
    assert weak == {}
    assert contrast_ratio(found["row-focused"], found["background"]) > 1.1, "the selected row is seen"


@pytest.mark.parametrize("theme", KEIJI_THEMES, ids=lambda theme: theme.name)
def test_our_own_themes_need_no_adjustment(theme: Theme) -> None:
    colours = {**custom_variables(theme), **theme.to_color_system().generate(), **theme.variables}
    adjusted = readable_variables(colours, is_dark=theme.dark)
    assert {name: adjusted[name] for name in TEXTS | SYMBOLS} == {
        name: Color.parse(colours[name]).hex for name in TEXTS | SYMBOLS
    }


def test_style_sheets_use_only_colours_whose_contrast_is_checked() -> None:
    folder = Path(keiji_tui.__file__).parent
    sheets = {file.name: file.read_text() for file in (*folder.rglob("*.tcss"), *folder.rglob("*.py"))}
    used = {
        (name, match[1], match[2])
        for name, text in sheets.items()
        for match in re.finditer(r"\b(background|(?<![\w-])color): ([$][^;]+);", text)
    }
    known = {"background": BACKGROUNDS | {"scrollbar"}, "color": TEXTS | SYMBOLS}
    unchecked = {each for each in used if each[2].removeprefix("$") not in known[each[1]]}
    assert {each[2] for each in unchecked} == {"$background 60%"}, unchecked


def test_a_saved_theme_is_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert preferences.load_theme(folder) == ""
    preferences.save_theme(folder, "nord")
    preferences.save_theme(folder, "gruvbox")
    assert preferences.load_theme(folder) == "gruvbox"
    assert [file.name for file in folder.iterdir()] == [preferences.FILE]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"theme": 5}', b"\xff", b"[" * 100_000])
def test_a_broken_file_is_ignored(content: bytes, tmp_path: Path) -> None:
    (tmp_path / preferences.FILE).write_bytes(content)
    assert preferences.load_theme(tmp_path) == ""


def test_an_unknown_theme_is_reported_with_the_most_similar_one() -> None:
    assert unknown_theme("", ["nord"]) == ""
    assert unknown_theme("nord", ["nord"]) == ""
    assert unknown_theme("nrod", ["gruvbox", "nord"]) == "keiji-tui: unknown theme 'nrod'; did you mean nord?"
    assert "gruvbox, nord" in unknown_theme("zzz", ["nord", "gruvbox"])
