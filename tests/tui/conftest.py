"""Fixtures of the tests of the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from failures import reported
from textual import _doc
from textual.app import App


@pytest.fixture(autouse=True)
def no_failures(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test during which background work has failed; one that expects it clears ``caplog``."""
    yield
    assert not reported(caplog)


@pytest.fixture
def assert_picture(snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that compares a picture with the accepted one.

    The toolkit would play a scene for each picture, and wait five times until the whole process has been idle.
    """

    def check(picture: str) -> None:
        monkeypatch.setattr(_doc, "take_svg_screenshot", lambda **_: picture)
        assert snap_compare(App())

    return check
