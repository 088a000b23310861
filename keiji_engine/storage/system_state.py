"""Facts about the system as a whole."""

from __future__ import annotations

import sqlalchemy as sa

from keiji.records import Pause
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.rows import from_pause, to_pause
from keiji_engine.storage.tables import system_state

_PAUSE = "pause"


class SystemStateRepository:
    """Facts about the whole system, in one transaction."""

    def __init__(self, connection: sa.Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    def pause(self) -> Pause | None:
        """Return the pause of the whole system; None if it is not paused. Single tasks have pauses of their own."""
        query = sa.select(system_state.c.value).where(system_state.c.name == _PAUSE)
        return to_pause(self._connection.scalar(query))

    def set_pause(self, pause: Pause | None) -> None:
        """Pause the whole system, or resume it."""
        self._connection.execute(sa.delete(system_state).where(system_state.c.name == _PAUSE))
        if pause is not None:
            self._connection.execute(sa.insert(system_state).values(name=_PAUSE, value=from_pause(pause)))
        self._changes.pause, self._changes.pause_changed = pause, True
