"""The store: everything that is remembered of tasks, builds, runs and directives.

It is synchronous and holds no state but its connections; two stores on one database see the same. Every verb is one
transaction. All moments are aware.
"""

from __future__ import annotations

from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage.database import Database
from keiji_engine.storage.directives import DirectiveVerbs
from keiji_engine.storage.history import HistoryVerbs, Recount, SetBack
from keiji_engine.storage.ids import RunIds
from keiji_engine.storage.rows import StoredDirective
from keiji_engine.storage.runs import Claim, RunVerbs
from keiji_engine.storage.system_state import MarkVerbs
from keiji_engine.storage.tasks import TaskVerbs

__all__ = ["Claim", "Recount", "SetBack", "Store", "StoredDirective"]


class Store(TaskVerbs, RunVerbs, DirectiveVerbs, HistoryVerbs, MarkVerbs):
    """An open database and what can be done with it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids = RunIds()

    @classmethod
    def open(cls, settings: Settings, paths: Paths) -> Store:
        """Open the database that the settings name, and bring its schema up to date.

        Raises:
            StorageError: it cannot be reached or used, or a newer keiji made it.
        """
        return cls(Database.open(settings, paths))

    def close(self) -> None:
        """Close all connections."""
        self._database.close()
