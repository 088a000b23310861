"""How long runs usually take, and how far one was from that. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from keiji.records import Run
from keiji.states import RunState
from keiji_engine.bus.views import RecentRun

ENOUGH = 3  # runs before there is a usual
LONG = 2.0  # times the usual from where on a run is worth a colour
_LEAST = 1e-3  # seconds; shorter ones differ by chance


def usual(runs: Iterable[Run | RecentRun]) -> float | None:
    """Return the median duration of those runs that succeeded; None where they are too few to tell."""
    known: Sequence[float] = [
        run.seconds for run in runs if run.state is RunState.SUCCEEDED and run.seconds is not None
    ]
    return max(median(known), _LEAST) if len(known) >= ENOUGH else None


def times(seconds: float | None, usually: float | None) -> str:
    """Return how many times the usual a duration is: "×1.0", "×3.1", "×48"; "" where one is not known."""
    if seconds is None or usually is None:
        return ""
    factor = seconds / usually
    return f"×{factor:.1f}" if factor < 9.95 else f"×{factor:.0f}" if factor < 999.5 else "×999+"


def style(seconds: float | None, usually: float | None) -> str:
    """Return in which colour that is shown."""
    if seconds is None or usually is None:
        return "$text-muted"
    factor = seconds / usually
    return "$text-error" if factor >= 3 * LONG else "$text-warning" if factor >= LONG else "$text-muted"
