"""Runs as a coloured sparkline."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from keiji_engine.bus.views import RecentRun
from keiji_tui.text.format import FAILED_RUN, sparkline


def run_bars(runs: Sequence[RecentRun], colour: str = "$bar") -> Content:
    """Return one character per run, oldest first; failed ones are red."""
    return Content.assemble(*((bar, "$text-error" if bar == FAILED_RUN else colour) for bar in sparkline(runs)))
