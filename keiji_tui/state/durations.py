"""How long runs usually take, and how far one was from that. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from keiji.records import Run
from keiji.states import RunState
from keiji_engine.bus.views import RecentRun

MIN_RUNS = 3  # runs before there is a usual
SLOW_RATIO = 2.0  # times the usual from where on a run is worth a colour
_MIN_SECONDS = 1e-3  # seconds; shorter ones differ by chance


def median_duration(runs: Iterable[Run | RecentRun]) -> float | None:
    """Return the median duration of those runs that succeeded; None where they are too few to tell."""
    known: Sequence[float] = [
        run.seconds for run in runs if run.state is RunState.SUCCEEDED and run.seconds is not None
    ]
    return max(median(known), _MIN_SECONDS) if len(known) >= MIN_RUNS else None


def format_ratio(seconds: float | None, usually: float | None) -> str:
    """Return how many times the usual a duration is: "×1.0", "×3.1", "×48"; "" where one is not known."""
    if seconds is None or usually is None:
        return ""
    factor = seconds / usually
    return f"×{factor:.1f}" if factor < 9.95 else f"×{factor:.0f}" if factor < 999.5 else "×999+"


def ratio_colour(seconds: float | None, usually: float | None) -> str:
    """Return in which colour that is shown."""
    if seconds is None or usually is None:
        return "$text-muted"
    factor = seconds / usually
    return "$text-error" if factor >= 3 * SLOW_RATIO else "$text-warning" if factor >= SLOW_RATIO else "$text-muted"
