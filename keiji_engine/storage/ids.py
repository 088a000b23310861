"""Names of runs: unique, and in the order in which they were given."""

from __future__ import annotations

import secrets
import threading
from datetime import datetime, timedelta

from keiji.schedule import EPOCH


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
            return f"{self._last:014x}{secrets.token_hex(6)}"
