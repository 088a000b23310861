"""Colours: all themes leave the screen whole, one that was chosen is remembered, a broken memory is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
from piloting import found, press, running, sees, text_of
from scenes import kept_back, live
from textual.command import CommandPalette
from waiting import until

from keiji_tui import remembered
from keiji_tui.options import unknown_theme


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
    app, _ = live(remember=chosen.append)
    async with running(app) as pilot:
        assert app.theme == "keiji"
        await press(pilot, "T")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await press(pilot, *"keiji-li")
        await until(pilot, lambda: found(app) == ["keiji-light"], "the one that fits is offered")
        await press(pilot, "down", "enter")
        await until(pilot, lambda: chosen == ["keiji-light"], str(chosen))
        await press(pilot, "colon", *"theme")
        await until(pilot, lambda: any("choose the colours" in offer for offer in found(app)))
        await press(pilot, "enter")
        await until(pilot, lambda: "nord" in found(app))
    app, _ = live(theme="keiji-light", remember=chosen.append)
    async with running(app):
        assert app.theme == "keiji-light"
    app, _ = live(theme="one that is no more")
    async with running(app):
        assert app.theme == "keiji"
    assert chosen == ["keiji-light"]


def test_what_is_remembered_is_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert remembered.theme(folder) == ""
    remembered.remember_theme(folder, "nord")
    remembered.remember_theme(folder, "gruvbox")
    assert remembered.theme(folder) == "gruvbox"
    assert [file.name for file in folder.iterdir()] == [remembered.FILE]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"theme": 5}', b"\xff", b"[" * 100_000])
def test_a_broken_memory_is_passed_over(content: bytes, tmp_path: Path) -> None:
    (tmp_path / remembered.FILE).write_bytes(content)
    assert remembered.theme(tmp_path) == ""


def test_a_theme_that_is_not_there_is_told_with_the_nearest() -> None:
    assert unknown_theme("", ["nord"]) == ""
    assert unknown_theme("nord", ["nord"]) == ""
    assert unknown_theme("nrod", ["gruvbox", "nord"]) == "keiji-tui: there is no theme 'nrod'; did you mean nord?"
    assert "gruvbox, nord" in unknown_theme("zzz", ["nord", "gruvbox"])
