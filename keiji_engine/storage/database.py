"""The database itself: opened, its transactions, and its failures in words of ours."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from keiji.errors import StorageError
from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage import schema

_BUSY_SECONDS = 5
# A server that vanished without a word is given up after this, rather than after the quarter of an hour that TCP takes.
_POSTGRESQL_LIMITS = {
    "connect_timeout": 5,  # seconds
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds
}
_MIGRATION_LOCK = 0x6B65696A69  # "keiji"; any number that others on the same server are unlikely to take


class Database:
    """A database whose schema is current.

    Args:
        name: what it is called in messages; holds no password.
        secret: the password, to keep it out of whatever a driver says; "" when there is none.
    """

    def __init__(self, engine: sa.Engine, name: str, secret: str = "") -> None:
        self._engine = engine
        self._writing = engine.execution_options(keiji_writes=True)
        self._name = name
        self._secret = secret

    @classmethod
    def open(cls, settings: Settings, paths: Paths) -> Database:
        """Connect and apply migrations.

        Raises:
            StorageError: it cannot be reached or used, or is of a newer schema.
        """
        if settings.database_kind == "sqlite":
            return _open_sqlite(paths.database)
        return _open_postgresql(settings.db_url)

    def close(self) -> None:
        self._engine.dispose()

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One transaction that sees one state of the database. Raises StorageError for whatever goes wrong in it."""
        with self._telling(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction that may change things; all of it or nothing. Raises StorageError as `read` does."""
        with self._telling(), self._writing.begin() as connection:
            yield connection

    def insert_or_leave(self, table: sa.Table) -> Any:
        """Return an INSERT that leaves alone whatever is there under the same unique key."""
        if self._engine.dialect.name == "sqlite":
            from sqlalchemy.dialects.sqlite import insert as sqlite_insert

            return sqlite_insert(table).on_conflict_do_nothing()
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table).on_conflict_do_nothing()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise StorageError(f"{self._name}: {self._told(error)}", hint=_hint(error)) from error

    def _told(self, error: SQLAlchemyError) -> str:
        cause = error.orig if isinstance(error, DBAPIError) else error
        text = " ".join(str(cause).split())
        return text.replace(self._secret, "…") if self._secret else text


def _hint(error: SQLAlchemyError) -> str:
    text = str(error)
    if "database is locked" in text:
        return f"another program has been writing to it for {_BUSY_SECONDS} s; only the engine should"
    if "malformed" in text or "not a database" in text:
        return "move the file away and put a copy of it from before in its place; builds and logs are not in it"
    return ""


# ── SQLite ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _open_sqlite(path: Path) -> Database:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": _BUSY_SECONDS},
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    database = Database(engine, f"the database {path}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(path.parent):
            with database.read() as connection:
                current = schema.is_current(connection)
            if not current:
                with database.write() as connection:
                    schema.migrate(connection)
    except OSError as error:
        engine.dispose()
        raise StorageError(f"the database {path}: {error.strerror or error}") from error
    except StorageError:
        engine.dispose()
        raise
    return database


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = (
        None  # transactions are begun by us: the driver's own leave out DDL and BEGIN IMMEDIATE
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later fails at once when another wrote in between; IMMEDIATE waits.
    writes = connection.get_execution_options().get("keiji_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    # Going over to WAL does not wait for other connections but fails, so that first openings take turns.
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _open_postgresql(text: str) -> Database:
    try:
        url = sa.make_url(text).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        # Without its cause, which has the whole URL in it.
        raise StorageError("DB_URL in settings.conf cannot be read as a URL of PostgreSQL") from None
    secret = str(url.password or url.query.get("password", ""))
    where = url.set(query={key: value for key, value in url.query.items() if key in {"host", "port"}})
    name = f"the database {where.set(drivername='postgresql').render_as_string(hide_password=True)}"
    arguments = {key: value for key, value in _POSTGRESQL_LIMITS.items() if key not in url.query}
    try:
        engine = sa.create_engine(url, pool_pre_ping=True, connect_args=arguments)
    except ImportError as error:
        raise StorageError(f"{name}: its driver is not installed", hint="pip install 'keiji[postgresql]'") from error
    database = Database(engine, name, secret)
    try:
        with database.read() as connection:
            current = schema.is_current(connection)
        if not current:
            with database.write() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                if not schema.is_current(connection):
                    schema.migrate(connection)
    except StorageError:
        engine.dispose()
        raise
    return database
