"""Colours: all themes leave the screen whole, one that was chosen is remembered, a broken memory is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
from piloting import found, press, running, sees, text_of
from scenes import kept_back, live
from textual.color import Color
from textual.command import CommandPalette
from textual.theme import Theme
from waiting import until

from keiji_tui import preferences
from keiji_tui.cli import unknown_theme
from keiji_tui.theme.themes import KEIJI_THEMES


async def test_every_theme_shows_the_same_words() -> None:
    app, _ = live(*kept_back(), task="export")
    async with running(app) as pilot:
        await until(pilot, sees(app, "export", "held after 3 failures", "nothing printed yet"))
        words = text_of(app)
        assert {"keiji", "keiji-light", "textual-light", "nord"} <= {*app.available_themes}
        for name in app.available_themes:
            app.theme = name
            await until(pilot, lambda wanted=name: app.current_theme.name == wanted)
            await pilot.pause()
            assert text_of(app) == words, name


async def test_a_theme_is_chosen_in_the_palette_and_remembered() -> None:
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


def contrast(one: str, other: str) -> float:
    """Return how far two colours are from each other in brightness, as the guidelines for accessible pages count it."""

    def brightness(colour: str) -> float:
        parts = [value / 255 for value in Color.parse(colour).rgb]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((brightness(one), brightness(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", KEIJI_THEMES, ids=lambda theme: theme.name)
def test_text_stands_out_from_all_that_is_behind_it(theme: Theme) -> None:
    names = ("text-muted", "text-success", "text-warning", "text-error", "text-accent", "key")
    texts = {"foreground": theme.foreground, **{name: theme.variables[name] for name in names}}
    behind = {each: getattr(theme, each) for each in ("background", "surface", "panel")}
    behind |= {each: theme.variables[each] for each in ("row-selected", "row-focused")}
    found = {(text, back): contrast(a, b) for text, a in texts.items() for back, b in behind.items()}
    assert {pair: value for pair, value in found.items() if value < 4.5} == {}
    assert contrast(theme.variables["text-disabled"], theme.surface) > 3


def test_what_is_remembered_is_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert preferences.load_theme(folder) == ""
    preferences.save_theme(folder, "nord")
    preferences.save_theme(folder, "gruvbox")
    assert preferences.load_theme(folder) == "gruvbox"
    assert [file.name for file in folder.iterdir()] == [preferences.FILE]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"theme": 5}', b"\xff", b"[" * 100_000])
def test_a_broken_memory_is_passed_over(content: bytes, tmp_path: Path) -> None:
    (tmp_path / preferences.FILE).write_bytes(content)
    assert preferences.load_theme(tmp_path) == ""


def test_a_theme_that_is_not_there_is_told_with_the_nearest() -> None:
    assert unknown_theme("", ["nord"]) == ""
    assert unknown_theme("nord", ["nord"]) == ""
    assert unknown_theme("nrod", ["gruvbox", "nord"]) == "keiji-tui: unknown theme 'nrod'; did you mean nord?"
    assert "gruvbox, nord" in unknown_theme("zzz", ["nord", "gruvbox"])
