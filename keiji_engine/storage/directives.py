"""Verbs about the ledger of directives, by which a request that comes twice has one effect. Each is one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from keiji_engine.storage.database import Database
from keiji_engine.storage.rows import StoredDirective, to_directive
from keiji_engine.storage.tables import directives

ACCEPTED = "accepted"


class DirectiveVerbs:
    """What the store can do with directives. Each verb raises StorageError where the database fails."""

    _database: Database

    def remember(
        self,
        directive_id: str,
        verb: str,
        target: str,
        sender: str,
        received_at: datetime,
        *,
        options: Mapping[str, str | bool] | None = None,
    ) -> bytes | None:
        """Enter a directive into the ledger.

        Args:
            options: what it says beyond verb and target.

        Returns:
            None when it is new. Otherwise its reply; b"" while it is being carried out.
        """
        addition = self._database.insert_or_leave(directives).values(
            id=directive_id,
            verb=verb,
            target=target,
            sender=sender,
            stage=ACCEPTED,
            reply=b"",
            received_at=received_at,
            options=dict(options) if options else None,
        )
        known = sa.select(directives.c.reply).where(directives.c.id == directive_id)
        with self._database.write() as connection:
            if connection.scalar(addition.returning(directives.c.id)) is not None:
                return None
            return bytes(connection.execute(known).scalar_one())

    def settle(self, directive_id: str, stage: str, reply: bytes, at: datetime) -> None:
        """Record what became of a directive and what is answered to it. What is settled stays as it is."""
        pending = sa.and_(directives.c.id == directive_id, directives.c.settled_at.is_(None))
        change = sa.update(directives).where(pending).values(stage=stage, reply=reply, settled_at=at)
        with self._database.write() as connection:
            connection.execute(change)

    def directives(self, limit: int) -> list[StoredDirective]:
        """Return the directives that came last, newest first."""
        query = sa.select(directives).order_by(directives.c.received_at.desc(), directives.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            return [to_directive(row) for row in connection.execute(query).mappings()]

    def directive(self, directive_id: str) -> StoredDirective | None:
        """Return a directive of the ledger; None when it is not there."""
        with self._database.read() as connection:
            query = sa.select(directives).where(directives.c.id == directive_id)
            row = connection.execute(query).mappings().one_or_none()
            return to_directive(row) if row is not None else None
