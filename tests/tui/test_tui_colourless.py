"""With NO_COLOR, no colour is sent, and text attributes replace the colours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from piloting import press, running, sees, table
from pty_program import CONTROL_CENTER, PtyProgram
from rich.style import Style
from scenes import live
from textual.color import Color
from waiting import until

from keiji_tui.app import ControlCenter
from keiji_tui.logs.view import LogView
from keiji_tui.theme.colourless import strip_colours

BLACK = Color.parse("#000000")
ATTRIBUTES = {"", *map(str, (*range(10), *range(21, 30)))}  # bold, dim, italic, underlined, reverse …, and their ends


def test_the_program_as_it_is_started_sends_no_colour(tmp_path: Path) -> None:
    environment = os.environ | {"KEIJI_ROOT": str(tmp_path), "COLORTERM": "truecolor", "NO_COLOR": "1"}
    with PtyProgram(CONTROL_CENTER, environment) as program:
        program.until_shown("There is no workspace in")
        program.type("?")
        program.until_shown("╰")
        output = program.output.decode()
    sent = {parameter for group in re.findall(r"\x1b\[([\d;:]*)m", output) for parameter in re.split("[;:]", group)}
    assert sent - ATTRIBUTES == set()
    assert {"1", "7"} <= sent, "and what there is besides them"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> ControlCenter:
    monkeypatch.setenv("NO_COLOR", "1")
    return live(task="ping_google")[0]


def styles(app: ControlCenter, words: str) -> Iterator[Style]:
    """Yield the styles of the first line on the screen that contains ``words``."""
    lines = app.screen._compositor.render_strips()
    line = next(strip for strip in lines if words in strip.text)
    return (segment.style or Style() for segment in line if segment.text.strip())


async def test_the_selected_row_is_marked_with_and_without_the_focus(app: ControlCenter) -> None:
    async with running(app) as pilot:
        await until(pilot, sees(app, "every 20s"))
        assert table(app).selected == "ping_google"
        assert all(style.reverse for style in styles(app, "●  ping_google"))
        assert not any(style.reverse for style in styles(app, "every 20s"))
        await press(pilot, "tab")
        await until(pilot, lambda: isinstance(app.focused, LogView))
        assert all(style.underline and not style.reverse for style in styles(app, "●  ping_google"))


async def test_no_part_of_the_screen_has_a_colour(app: ControlCenter) -> None:
    async with running(app) as pilot:
        for key in ("R", "escape", "colon", "escape", "question_mark"):
            await press(pilot, key)
            strips = app.screen._compositor.render_strips()
            found = [segment for strip in strips for segment in strip if segment.style]
            assert not any(segment.style.color or segment.style.bgcolor for segment in found if segment.style), key


def test_faint_text_is_dim() -> None:
    meta = Style.from_meta({"@click": "x"})
    assert strip_colours(Style.parse("#687180 on #14171c"), BLACK) == Style(dim=True)
    assert strip_colours(Style.parse("bold #99a3b2 on #14171c") + meta, BLACK) == Style(bold=True) + meta
    assert strip_colours(Style.parse("reverse #687180 on #14171c"), BLACK) == Style(reverse=True)
    assert strip_colours(Style.parse("red on blue"), BLACK) == Style()
    assert strip_colours(Style(), BLACK) == Style()
