"""Which transaction changed a task last, so that a decision can be checked without reading the task and its runs again.

Every change of the database goes through one store, so the store knows this without asking the database.
"""

from __future__ import annotations

from keiji_engine.storage.changes import Changes


class Revisions:
    """Numbers the transactions, and knows the last one that changed each task or one of its runs."""

    def __init__(self) -> None:
        self.current = 0
        self._changed_at: dict[str, int] = {}
        self._everything_changed_at = 0
        self._pending: dict[str, int] = {}  # of the transaction in progress

    def add(self, changes: Changes) -> None:
        """Number changes that are about to be committed."""
        self.current += 1
        changes.revision = self.current
        self._pending |= dict.fromkeys(changes.slugs(), self.current)

    def commit(self) -> None:
        """The changes are committed, or may be."""
        self._changed_at |= self._pending
        self._pending = {}

    def rollback(self) -> None:
        """The changes are not committed."""
        self._pending = {}

    def invalidate(self) -> None:
        """Everything may have changed, since another database is used."""
        self.current += 1
        self._everything_changed_at = self.current

    def has_changed(self, slug: str, revision: int) -> bool:
        """Return whether a task or one of its runs has changed after a revision."""
        changed_at = max(self._pending.get(slug, 0), self._changed_at.get(slug, 0), self._everything_changed_at)
        return changed_at > revision
