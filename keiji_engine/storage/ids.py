"""Ids of runs: unique, and sorted by creation."""

from __future__ import annotations

import secrets
import threading
from datetime import datetime, timedelta

from keiji.schedule import EPOCH

_DIGITS = 14


def prefix_of(moment: datetime) -> str:
    """Return text that sorts before the ids of runs created at ``moment`` or later, and after all others."""
    return f"{max((moment - EPOCH) // timedelta(microseconds=1), 0):0{_DIGITS}x}"


def moment_of(run_id: str) -> datetime:
    """Return when a run was created, from its id."""
    return EPOCH + timedelta(microseconds=int(run_id[:_DIGITS], 16))


class RunIds:
    """Generates ids of 26 hexadecimal digits: 14 for the microsecond, 12 random ones.

    Ids sort by creation, even many within one microsecond or after the clock was set back: an id that would not sort
    behind its predecessor takes the next microsecond.
    """

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def new(self, moment: datetime) -> str:
        """Return the id of a run created at ``moment`` (aware)."""
        with self._lock:
            self._last = max(self._last + 1, (moment - EPOCH) // timedelta(microseconds=1))
            return f"{self._last:0{_DIGITS}x}{secrets.token_hex(6)}"
