"""Run by alembic: applies migrations over the connection, and in the transaction, that schema.py hands in."""

from __future__ import annotations

from alembic import context

from keiji_engine.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
