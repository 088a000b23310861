"""Failures of background work: whichever screen, pane or dialog has begun it, the user and the tests see them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from failures import reported
from fake_link import FakeLink
from piloting import press, running, said
from scenes import live
from waiting import until

import keiji_tui


async def fail(*_: object) -> None:
    raise RuntimeError("boom [/b]")


def breaking(name: str) -> Callable[[FakeLink], None]:
    """Return what makes a request of the link fail in a way that nothing expects."""
    return lambda link: setattr(link, name, fail)


@pytest.mark.parametrize(
    ("spoil", "keys"),
    [
        (breaking("send"), "e"),
        (breaking("send"), ("space", "space", "p", "y")),
        (breaking("explain"), "w"),
        (breaking("explain"), ("enter",)),
        (breaking("runs"), "H"),
        (breaking("timeline"), "6"),
        (breaking("directives"), "5"),
        (breaking("directives"), "B"),
        (breaking("difference"), "d"),
        (breaking("read"), ("l", "slash", "x", "enter")),
        (breaking("start_engine"), "s"),
    ],
    ids=lambda value: "-".join(value) if not callable(value) else "",
)
async def test_a_failure_of_background_work_is_shown_and_fails_a_test(
    spoil: Callable[[FakeLink], None], keys: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    app, link = live(task="ping_google")
    spoil(link)
    async with running(app) as pilot:
        if keys == "s":
            link.die()
            await until(pilot, lambda: not app.store.is_live)
        await press(pilot, *keys)
        await until(pilot, lambda: "boom [/b]" in said(app))
        assert app.is_running
    assert any("RuntimeError: boom" in text for text in reported(caplog))
    caplog.clear()


def test_all_background_work_is_started_in_one_place() -> None:
    found = {
        path.relative_to(Path(keiji_tui.__file__).parent).as_posix()
        for path in Path(keiji_tui.__file__).parent.rglob("*.py")
        if re.search(r"\brun_worker\(|^ *@work\b", path.read_text(), re.MULTILINE)
    }
    # A failure of the search that Textual's palette does ends the app, as any other failure of Textual's would.
    assert found == {"background.py", "screens/palette.py"}
