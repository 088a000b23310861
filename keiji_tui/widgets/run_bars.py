"""Runs as bars of their length, in colours."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from keiji_engine.bus.views import RecentRun
from keiji_tui.text.format import FAILED_RUN, sparkline


def run_bars(runs: Sequence[RecentRun], colour: str = "$primary") -> Content:
    """Return a letter for each run, oldest first."""
    letters = ((letter, "$text-error" if letter == FAILED_RUN else colour) for letter in sparkline(runs))
    return Content.assemble(*letters)
