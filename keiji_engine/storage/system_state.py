"""Verbs about the system as a whole. Each is one transaction."""

from __future__ import annotations

import sqlalchemy as sa

from keiji.records import Pause
from keiji_engine.storage.database import Database
from keiji_engine.storage.rows import from_pause, to_pause
from keiji_engine.storage.tables import marks

_PAUSE = "pause"


class MarkVerbs:
    """What the store remembers of the system. Each verb raises StorageError where the database fails."""

    _database: Database

    def pause(self) -> Pause | None:
        """Return the pause of everything; None while nothing is paused but, perhaps, single tasks."""
        with self._database.read() as connection:
            return to_pause(connection.scalar(sa.select(marks.c.value).where(marks.c.name == _PAUSE)))

    def set_pause(self, pause: Pause | None) -> None:
        """Pause everything, or let it go on."""
        with self._database.write() as connection:
            connection.execute(sa.delete(marks).where(marks.c.name == _PAUSE))
            if pause is not None:
                connection.execute(sa.insert(marks).values(name=_PAUSE, value=from_pause(pause)))
