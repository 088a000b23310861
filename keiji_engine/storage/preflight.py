"""Checks that an engine could open a database, without changing it or waiting for its writer."""

from __future__ import annotations

import contextlib
import sqlite3
import urllib.parse
from pathlib import Path

import sqlalchemy as sa

from keiji.errors import StorageError
from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage import schema
from keiji_engine.storage.database import Database, connect_postgresql
from keiji_engine.storage.tables import tasks


def count_tasks(settings: Settings, paths: Paths) -> int:
    """Return the number of tasks in the database; 0 if it does not exist or has no tables yet.

    Raises:
        StorageError: the database cannot be reached or used, or this version does not know its schema.
    """
    if settings.database_kind != "sqlite":
        return _count(connect_postgresql(settings.db_url))
    return count_sqlite_tasks(paths.database)


def count_sqlite_tasks(path: Path) -> int:
    """Return the number of tasks in a SQLite database, as `count_tasks` does."""
    if not path.exists():
        return 0
    uri = f"file:{urllib.parse.quote(str(path))}?mode=ro"
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True, timeout=2.0))
    return _count(Database(engine, f"the database {path}"))


def _count(database: Database) -> int:
    with contextlib.closing(database), database.read() as connection:
        schema.is_current(connection)  # raises if the schema is unknown; an older one will be migrated
        if schema.revision(connection) is None:
            return 0
        found: int | None = connection.scalar(sa.select(sa.func.count()).select_from(tasks))
        return found or 0


def describe_other_database(settings: Settings, paths: Paths) -> str | None:
    """Return a warning if the database that the settings name has no tasks, although the installation has some.

    Raises:
        StorageError: as `count_tasks` does.
    """
    if count_tasks(settings, paths):
        return None
    if settings.database_kind != "sqlite":
        with contextlib.suppress(StorageError):
            if count := count_sqlite_tasks(paths.database):
                return f"the database that DB_URL names has no tasks, but {paths.database} has {count}"
    with contextlib.suppress(OSError):
        if count := sum(1 for _ in paths.links.iterdir()):
            return f"the database that DB_URL names has no tasks, but {count} of this workspace are built"
    return None
