"""Facts about the system as a whole."""

from __future__ import annotations

from typing import Any

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

    def value(self, name: str) -> Any:
        """Return a fact as plain JSON data; None if it is not set."""
        return self._connection.scalar(sa.select(system_state.c.value).where(system_state.c.name == name))

    def set_value(self, name: str, value: Any) -> None:
        """Set a fact; None removes it."""
        self._connection.execute(sa.delete(system_state).where(system_state.c.name == name))
        if value is not None:
            self._connection.execute(sa.insert(system_state).values(name=name, value=value))

    def pause(self) -> Pause | None:
        """Return the pause of the whole system; None if it is not paused. Single tasks have pauses of their own."""
        return to_pause(self.value(_PAUSE))

    def set_pause(self, pause: Pause | None) -> None:
        """Pause the whole system, or resume it."""
        self.set_value(_PAUSE, from_pause(pause))
        self._changes.pause, self._changes.pause_changed = pause, True
