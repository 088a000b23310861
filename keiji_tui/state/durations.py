"""The median duration of runs, and how the duration of a run compares with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from keiji.records import Run
from keiji.states import RunState
from keiji_engine.bus.views import RecentRun

MIN_RUNS = 3  # below which a median means nothing
SLOW_RATIO = 2.0  # of a duration and the median, from which a run is highlighted
_MIN_SECONDS = 1e-3  # the ratio of shorter durations is noise


def median_duration(runs: Iterable[Run | RecentRun]) -> float | None:
    """Return the median duration of successful runs, in seconds; None if there are fewer than `MIN_RUNS`."""
    known: Sequence[float] = [
        run.seconds for run in runs if run.state is RunState.SUCCEEDED and run.seconds is not None
    ]
    return max(median(known), _MIN_SECONDS) if len(known) >= MIN_RUNS else None


def format_ratio(seconds: float | None, usually: float | None) -> str:
    """Return the ratio of a duration and the median: "×1.0", "×3.1", "×48"; "" if either is unknown."""
    if seconds is None or usually is None:
        return ""
    factor = seconds / usually
    return f"×{factor:.1f}" if factor < 9.95 else f"×{factor:.0f}" if factor < 999.5 else "×999+"


def ratio_colour(seconds: float | None, usually: float | None) -> str:
    """Return the colour in which `format_ratio` is shown."""
    if seconds is None or usually is None:
        return "$text-muted"
    factor = seconds / usually
    return "$text-error" if factor >= 3 * SLOW_RATIO else "$text-warning" if factor >= SLOW_RATIO else "$text-muted"
