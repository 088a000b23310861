"""Names of runs: unique, and in the order in which they were given."""

from __future__ import annotations

import secrets
import threading
from datetime import datetime, timedelta

from keiji.schedule import EPOCH

_DIGITS = 14


def prefix_of(moment: datetime) -> str:
    """Return what sorts before the id of every run that came to be at ``moment`` or later, and after all others."""
    return f"{max((moment - EPOCH) // timedelta(microseconds=1), 0):0{_DIGITS}x}"


def moment_of(run_id: str) -> datetime:
    """Return when a run came to be, by its id."""
    return EPOCH + timedelta(microseconds=int(run_id[:_DIGITS], 16))


class RunIds:
    """Gives ids of 26 hexadecimal digits: 14 that tell the microsecond, 12 that are random.

    Sorted as text they are in the order of their making, even for many in one microsecond or after the clock was set
    back: one that would not be later than its predecessor takes the next microsecond.
    """

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def new(self, moment: datetime) -> str:
        """Return the id of a run that comes to be at ``moment`` (aware)."""
        with self._lock:
            self._last = max(self._last + 1, (moment - EPOCH) // timedelta(microseconds=1))
            return f"{self._last:0{_DIGITS}x}{secrets.token_hex(6)}"
