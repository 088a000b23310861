"""Brings a database to the schema that this version knows, or refuses one that is newer."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from keiji.errors import StorageError

REVISIONS = ("0001", "0002", "0003")  # oldest first; each is a file in migrations/versions
HEAD = REVISIONS[-1]

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
        StorageError: the database is of a revision that this version does not know.
    """
    found = revision(connection)
    if found is not None and found not in REVISIONS:
        raise StorageError(
            f"the database has schema {found}, which a newer keiji made; this one knows schemas up to {HEAD}",
            hint="install the newer keiji, or name another database in settings.conf (DB_URL)",
        )
    return found == HEAD


def migrate(connection: sa.Connection) -> None:
    """Apply what is missing, in the transaction of ``connection``: all of it is there afterwards, or none."""
    from alembic import command  # 150 ms, for what is needed once in the life of a database
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
