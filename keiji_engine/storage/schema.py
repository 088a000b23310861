"""Brings a database to the schema of this version, or rejects one whose revision is unknown."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from keiji.errors import StorageError

REVISIONS = (
    "2026.11",
    "2026.11.2",
    "2026.11.3",
    "2026.11.4",
    "2026.11.5",
)  # oldest first; each is a file in migrations/versions
HEAD = REVISIONS[-1]
# The last revision before the migrations became one. Its tables differ in a few names and columns.
FORMER_HEAD = "0003"
_FROM_FORMER_HEAD = (
    "ALTER TABLE marks RENAME TO system_state",
    "ALTER TABLE tasks RENAME COLUMN paused TO pause",
    "ALTER TABLE tasks RENAME COLUMN error_text TO error",
    "ALTER TABLE directives RENAME COLUMN settled_at TO completed_at",
    "ALTER TABLE directives ADD COLUMN \"user\" TEXT DEFAULT '' NOT NULL",
    "ALTER TABLE directives ADD COLUMN sudo_user TEXT DEFAULT '' NOT NULL",
)

_MIGRATIONS = Path(__file__).with_name("migrations")
_VERSION_TABLE = "alembic_version"


def revision(connection: sa.Connection) -> str | None:
    """Return the revision of the database's schema; None for an empty database."""
    if not connection.dialect.has_table(connection, _VERSION_TABLE):
        return None
    found: str | None = connection.scalar(sa.text(f"SELECT version_num FROM {_VERSION_TABLE}"))
    return found


def is_current(connection: sa.Connection) -> bool:
    """Return whether there is nothing to migrate.

    Raises:
        StorageError: this version does not know the revision of the database.
    """
    found = revision(connection)
    if found is not None and found not in (*REVISIONS, FORMER_HEAD):
        raise StorageError(
            f"the database has schema {found}, which this version of keiji does not know; it knows {HEAD}",
            hint="use the version of keiji that created it, or name another database in settings.conf (DB_URL)",
        )
    return found == HEAD


def migrate(connection: sa.Connection, target: str = HEAD) -> None:
    """Apply the migrations up to ``target``, in the transaction of ``connection``: all take effect, or none."""
    if revision(connection) == FORMER_HEAD:
        for statement in _FROM_FORMER_HEAD:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"UPDATE {_VERSION_TABLE} SET version_num = '{REVISIONS[0]}'")
    from alembic import command  # 150 ms, needed once in the life of a database
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, target)
