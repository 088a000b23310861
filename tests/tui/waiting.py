"""Waiting for the terminal, with a limit and without guessing how long it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from textual.pilot import Pilot

LIMIT = 8.0


async def until(pilot: Pilot[None], condition: Callable[[], object], what: str = "") -> None:
    """Let the terminal run until ``condition`` holds; fails after a limit."""
    await eventually(condition, what)


async def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Let whatever runs here run until ``condition`` holds; fails after a limit."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what or condition}"
        await asyncio.sleep(0.005)
