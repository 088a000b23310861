"""The database: opening it, its transactions, and its failures as our errors."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from keiji import file_lock
from keiji.errors import StorageError
from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage import schema, sqlite_file
from keiji_engine.storage.sqlite_file import BUSY_SECONDS, FileReplaced, SqliteFile, Unreachable, WalDeleted

# A server that vanished is given up after these limits, rather than after the 15 minutes that TCP takes.
_POSTGRESQL_LIMITS = {
    "connect_timeout": 5,  # seconds
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds
}
# A write without an effect: it has to be committed, for which the disk needs space.
_HARMLESS_CHANGE = sa.text("UPDATE system_state SET value = value WHERE name = 'owner'")
_MIGRATION_LOCK = 0x6B65696A69  # "keiji"; an advisory lock that other programs are unlikely to use


_log = logging.getLogger("keiji.repo")


class CommitFailed(StorageError):
    """The database failed while it committed: the changes may be stored or not."""


class Database:
    """A database whose schema is current.

    Args:
        name: its name in messages; contains no password.
        secret: the password, which is removed from the messages of the driver; "" if there is none.
        file: the file of a SQLite database; None for PostgreSQL.
    """

    def __init__(self, engine: sa.Engine, name: str, secret: str = "", file: SqliteFile | None = None) -> None:
        self._engine = engine
        self._writing = engine.execution_options(keiji_writes=True)
        self._writing_without_flush = engine.execution_options(keiji_writes=True, keiji_flushes=False)
        self._name = name
        self._secret = secret
        self._file = file

    @classmethod
    def open(cls, settings: Settings, paths: Paths) -> Database:
        """Connect and apply migrations.

        Raises:
            StorageError: it cannot be reached or used, or this version does not know its schema.
        """
        if settings.database_kind == "sqlite":
            return _open_sqlite(paths.database)
        return _open_postgresql(settings.db_url)

    def close(self) -> None:
        """Close all connections. A SQLite database whose file was deleted in the meantime is restored at its path."""
        if self._file is None:
            self._engine.dispose()
            return
        if self._file.is_gone:
            self.save()
        with self._file.protected():
            self._engine.dispose()
            self._file.close()
        self._file.remove_wal_of_gone_file()
        if self._file.restore():
            _log.warning("%s was deleted while it was open; it is restored", self._name)

    def check(self, *, deep: bool = False) -> None:
        """Raise Unreachable if the database is certainly not usable; at little cost.

        Args:
            deep: whether to write as well: to a full disk, for example, only writing fails. Nothing is changed.
        """
        if self._file is None or deep:
            with self.write() if deep else self.read() as connection:
                connection.execute(sa.select(1) if not deep else _HARMLESS_CHANGE)
        else:
            self._file.check()

    def save(self) -> None:
        """Save the content of a SQLite file that was deleted or replaced in a copy beside the path; once."""
        if self._file is None:
            return
        try:
            self._file.save(datetime.now(UTC))
        except (OSError, sqlite3.Error) as error:
            _log.error("the content of the deleted or replaced %s cannot be saved: %s", self._name, error)

    def reopen(self, settings: Settings, paths: Paths, *, with_tasks: bool) -> Database | None:
        """After `FileReplaced`, return the database that took the place of this one, which is closed; None if none did.

        What this one knows about the tasks of both is added to it.

        Args:
            with_tasks: whether a database without tasks is no replacement.

        Raises:
            StorageError: the replacement cannot be used.
        """
        file = self._file
        if file is None:
            return None
        try:
            file.check()
        except WalDeleted:
            with self._translated_driver():
                file.apply_wal()
            self.close()
            return Database.open(settings, paths)
        except FileReplaced:
            self.save()
            if file.is_missing or not file.has_successor(with_tasks=with_tasks):
                return None
            self.close()
            following = Database.open(settings, paths)
            with self._translated_driver():
                added = file.add_history()
            _log.warning("%s was replaced: the new one is open, with %d runs added of the former", self._name, added)
            return following
        return self

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One transaction that sees one state of the database. Raises StorageError for each failure in it."""
        self._check_file()
        with self._translated(StorageError), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self, *, flush: bool = True) -> Iterator[sa.Connection]:
        """One transaction that may change rows; all of it takes effect, or nothing.

        Args:
            flush: whether the changes are on the disk when this returns. Otherwise, a power failure (but no crash of a
                process) may undo them until a later transaction is flushed; it never undoes that one alone.

        Raises:
            Unreachable: the transaction could not begin.
            CommitFailed: the commit failed, so that its outcome is unknown.
            StorageError: the database failed before the commit; nothing was changed.
        """
        self._check_file()
        with contextlib.ExitStack() as stack:
            with self._translated(Unreachable):
                engine = self._writing if flush else self._writing_without_flush
                connection = stack.enter_context(engine.connect())
                transaction = connection.begin()
            with self._translated(StorageError):
                try:
                    yield connection
                except BaseException:
                    try:
                        transaction.rollback()
                    except SQLAlchemyError:  # the first error is the one to report
                        connection.invalidate()
                    raise
            with self._translated(CommitFailed):
                try:
                    transaction.commit()
                except BaseException as error:
                    # SQLAlchemy would return it to the pool without a rollback, perhaps within the transaction.
                    connection.invalidate()
                    if isinstance(error, SQLAlchemyError) and _is_certainly_not_committed(error):
                        raise StorageError(f"{self._name}: {self._text(error)}", hint=_hint(str(error))) from error
                    raise

    @contextlib.contextmanager
    def _translated_driver(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"{self._name}: {error}") from error

    def _check_file(self) -> None:
        if self._file is not None:
            self._file.check()

    @contextlib.contextmanager
    def _translated(self, kind: type[StorageError]) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise kind(f"{self._name}: {self._text(error)}", hint=_hint(str(error))) from error

    def _text(self, error: SQLAlchemyError) -> str:
        cause = error.orig if isinstance(error, DBAPIError) else error
        text = " ".join(str(cause).split())
        return text.replace(self._secret, "…") if self._secret else text


def insert_unless_known(dialect: str, table: sa.Table) -> Any:
    """Return an INSERT that skips rows whose unique key is already in the table.

    Args:
        dialect: the name of the dialect of SQLAlchemy.
    """
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert(table).on_conflict_do_nothing()


def _is_certainly_not_committed(error: SQLAlchemyError) -> bool:
    """Return whether SQLite failed before it wrote the end of the transaction."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    return isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)


def _hint(text: str) -> str:
    """Return what helps against a database error with this text."""
    if "database is locked" in text:
        return f"another program has been writing to it for {BUSY_SECONDS} s; only the engine should write to it"
    if "malformed" in text or "not a database" in text:
        return (
            "stop the engine, move the file away together with its -wal and -shm files, and restore a backup; builds "
            "and logs are not in it"
        )
    if "disk is full" in text or "disk I/O error" in text:
        return "free space on its disk; nothing is lost in the meantime"
    return ""


# ── SQLite ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_FLUSHED = "FULL"  # each commit waits for the disk
_NOT_FLUSHED = "NORMAL"  # in WAL mode, a commit does not wait; the next flushed one includes it
_LEVEL = "keiji_synchronous"  # of a connection, in its info


def _open_sqlite(path: Path) -> Database:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        creator=lambda: sqlite_file.connect(path),
        poolclass=sa.QueuePool,
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    name = f"the database {path}"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path.parent):
            sqlite_file.create(path)
            if note := sqlite_file.set_foreign_wal_aside(path, datetime.now(UTC)):
                _log.warning("%s", note)
            database = Database(engine, name, file=SqliteFile(path))
            with database.read() as connection:
                current = schema.is_current(connection)
            if not current:
                with database.write() as connection:
                    schema.migrate(connection)
    except OSError as error:
        engine.dispose()
        raise StorageError(f"{name}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        engine.dispose()
        raise StorageError(f"{name}: {error}", hint=_hint(str(error))) from error
    except StorageError:
        engine.dispose()
        raise
    return database


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Transactions are begun below: the driver's own exclude DDL and know no BEGIN IMMEDIATE.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # A claim must be on the disk before its run starts, and a result before its run file is removed.
    connection.execute(f"PRAGMA synchronous = {_FLUSHED}")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first fails at its first write if another one wrote in between; IMMEDIATE waits.
    options = connection.get_execution_options()
    if options.get("keiji_writes"):
        level = _FLUSHED if options.get("keiji_flushes", True) else _NOT_FLUSHED
        if connection.info.get(_LEVEL, _FLUSHED) != level:
            connection.exec_driver_sql(f"PRAGMA synchronous = {level}")
            connection.info[_LEVEL] = level
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("keiji_writes") else "BEGIN")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # Switching to WAL fails if another connection is open, instead of waiting: first openings take turns.
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        file_lock.lock(descriptor)
        yield
    finally:
        os.close(descriptor)


# ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────────────────────────────


def connect_postgresql(text: str) -> Database:
    """Return a PostgreSQL database, to which the first transaction connects.

    Raises:
        StorageError: the URL is invalid, or the driver is not installed.
    """
    try:
        url = sa.make_url(text).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        # Without its cause, which contains the whole URL.
        raise StorageError("DB_URL in settings.conf is not a valid PostgreSQL URL") from None
    secret = str(url.password or url.query.get("password", ""))
    where = url.set(query={key: value for key, value in url.query.items() if key in {"host", "port"}})
    name = f"the database {where.set(drivername='postgresql').render_as_string(hide_password=True)}"
    arguments = {key: value for key, value in _POSTGRESQL_LIMITS.items() if key not in url.query}
    try:
        engine = sa.create_engine(url, pool_pre_ping=True, connect_args=arguments)
    except ImportError as error:
        raise StorageError(f"{name}: its driver is not installed", hint="pip install 'keiji[postgresql]'") from error
    sa.event.listen(engine, "begin", _begin_postgresql)
    return Database(engine, name, secret)


def _begin_postgresql(connection: sa.Connection) -> None:
    if not connection.get_execution_options().get("keiji_flushes", True):
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


def _open_postgresql(text: str) -> Database:
    database = connect_postgresql(text)
    try:
        with database.read() as connection:
            current = schema.is_current(connection)
        if not current:
            with database.write() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
                if not schema.is_current(connection):
                    schema.migrate(connection)
    except StorageError:
        database.close()
        raise
    return database
