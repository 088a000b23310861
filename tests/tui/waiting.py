"""Waiting for the terminal, with a limit and without guessing how long it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from textual.pilot import Pilot

LIMIT = 8.0


async def until(pilot: Pilot[None], condition: Callable[[], object], what: str = "") -> None:
    """Let the terminal run until ``condition`` holds; fails after a limit, with what is on the screen."""
    try:
        await eventually(condition, what)
    except AssertionError as error:
        app = pilot.app
        error.add_note(f"focus: {app.focused}")
        error.add_note("\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips()))
        raise


async def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Let whatever runs here run until ``condition`` holds; fails after a limit."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what or condition}"
        await asyncio.sleep(0.005)
