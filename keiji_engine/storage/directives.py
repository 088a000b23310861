"""The ledger of directives, by which a request that arrives twice has one effect."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from keiji_engine.storage.changes import Changes
from keiji_engine.storage.database import insert_unless_known
from keiji_engine.storage.rows import StoredDirective, readable, to_directive
from keiji_engine.storage.tables import directives

ACCEPTED = "accepted"

# Built once: every directive executes them before anything else happens.
_GET = sa.select(directives).where(directives.c.id == sa.bindparam("directive_id"))
_COMPLETE = sa.update(directives).where(
    directives.c.id == sa.bindparam("directive_id"), directives.c.completed_at.is_(None)
)


class DirectiveRepository:
    """Directives in one transaction."""

    def __init__(self, connection: sa.Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    def insert(
        self,
        directive_id: str,
        verb: str,
        target: str,
        sender: str,
        received_at: datetime,
        *,
        user: str = "",
        sudo_user: str = "",
        options: Mapping[str, str | bool] | None = None,
    ) -> StoredDirective | None:
        """Enter a directive into the ledger, unless its id is known.

        Args:
            user: name of the user whose process sent it, as the kernel reports it; "" if unknown.
            sudo_user: who called sudo, as the client claims.
            options: its fields other than verb and target.

        Returns:
            None if it is new, otherwise the known one.
        """
        values = {
            "id": directive_id,
            "verb": verb,
            "target": target,
            "sender": sender,
            "stage": ACCEPTED,
            "reply": b"",
            "received_at": received_at,
            "options": dict(options) if options else None,
            "user": user,
            "sudo_user": sudo_user,
        }
        if self._connection.scalar(_insertion(self._connection.dialect.name), values) is not None:
            return None
        known = self.get(directive_id)
        assert known is not None, "the insert found it"
        self._changes.directives[directive_id] = known
        return known

    def complete(self, directive_id: str, stage: str, reply: bytes, at: datetime) -> None:
        """Record the outcome of a directive and its encoded reply. A completed directive stays as it is."""
        values = {"directive_id": directive_id, "stage": stage, "reply": reply, "completed_at": at}
        self._connection.execute(_COMPLETE, values)

    def latest(self, limit: int) -> list[StoredDirective]:
        """Return the directives that were received last, newest first."""
        query = sa.select(directives).order_by(directives.c.received_at.desc(), directives.c.id.desc()).limit(limit)
        return list(readable(self._connection.execute(query).mappings(), to_directive))

    def get(self, directive_id: str) -> StoredDirective | None:
        """Return a directive; None if the ledger does not have it."""
        row = self._connection.execute(_GET, {"directive_id": directive_id}).mappings().one_or_none()
        return to_directive(row) if row is not None else None


@cache
def _insertion(dialect: str) -> Any:
    return insert_unless_known(dialect, directives).returning(directives.c.id)
