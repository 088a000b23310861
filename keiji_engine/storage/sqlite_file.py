"""The file of a SQLite database: whether it is still the one that was opened, and what saves its content if it is not.

SQLite never looks at the path again once a file is open. Without these checks, the engine would go on writing to a file
that was deleted or replaced, and everything would be gone after a restart.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from keiji.errors import StorageError

BUSY_SECONDS = 5
_BESIDE = ("-wal", "-shm")
_SHARED = """
    SELECT mine.id FROM main.tasks AS mine JOIN former.tasks AS theirs
    ON theirs.id = mine.id AND theirs.task_id = mine.task_id
"""
_ADD_RUNS = f"""
    INSERT OR REPLACE INTO main.runs ({{columns}}) SELECT {{columns}} FROM former.runs AS run
    WHERE run.task_id IN ({_SHARED}) AND NOT EXISTS (
        SELECT 1 FROM main.runs AS known WHERE known.run_id = run.run_id AND known.finished_at IS NOT NULL
    )
"""
_MOVE_ON = f"""
    UPDATE main.tasks SET next_at = (SELECT next_at FROM former.tasks AS theirs WHERE theirs.id = main.tasks.id)
    WHERE id IN ({_SHARED} AND theirs.schedule = mine.schedule AND theirs.next_at > mine.next_at)
"""
_KEEP_SERIES = f"""
    UPDATE main.tasks SET last_series = (
        SELECT max(last_series, main.tasks.last_series) FROM former.tasks AS theirs WHERE theirs.id = main.tasks.id
    )
    WHERE id IN ({_SHARED})
"""


class Unreachable(StorageError):
    """The database cannot be reached."""


class FileReplaced(Unreachable):
    """The file of the database was deleted, or replaced with another one."""


class WalDeleted(FileReplaced):
    """The ``-wal`` file of the database was deleted, which the open connections still have."""


class SqliteFile:
    """The file at a path, as it was when this object was created."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity = _identity(path)
        self._saved: Path | None = None  # the copy of a deleted or replaced file
        # It keeps the -wal file in place, and the content within reach when the file is deleted.
        self._anchor = connect(path)
        self._anchor.execute("PRAGMA journal_mode = WAL")
        self._anchor.execute("SELECT count(*) FROM sqlite_master").fetchone()
        self._wal = _identity(beside(path, "-wal"))

    def close(self) -> None:
        """Close the connection of this object."""
        self._anchor.close()

    @property
    def is_missing(self) -> bool:
        return _identity(self.path) is None

    @property
    def is_gone(self) -> bool:
        """Whether the file was deleted or replaced."""
        return _identity(self.path) != self._identity

    def remove_wal_of_gone_file(self) -> None:
        """Remove the files beside a file that was deleted or replaced: SQLite would apply them to the next database."""
        if self.is_gone and self._wal is not None and _identity(beside(self.path, "-wal")) == self._wal:
            for suffix in _BESIDE:
                beside(self.path, suffix).unlink(missing_ok=True)

    def check(self) -> None:
        """Raise FileReplaced if another file, or none, is at the path now. It costs two system calls."""
        found = _identity(self.path)
        if found == self._identity:
            if self._wal is not None and _identity(beside(self.path, "-wal")) is None:
                raise WalDeleted(f"the -wal file of the database {self.path} was deleted while it was open")
            return
        what = "was deleted" if found is None else "was replaced with another file"
        if self._saved is None:
            raise FileReplaced(f"the database {self.path} {what} while it was open")
        if found is not None:
            what = "was replaced with a file that has no tasks"
        raise FileReplaced(
            f"the database {self.path} {what} while it was open; its content is saved in {self._saved.name}",
            hint=f"mv '{self._saved}' '{self.path}' restores it",
        )

    def save(self, now: datetime) -> Path:
        """Copy the content of the file that was opened beside the path, once; return the copy.

        Raises OSError or sqlite3.Error, for example if the disk is full.
        """
        if self._saved is None or (self.is_missing and not self._saved.exists()):
            target = self.path.with_name(f"{self.path.name}.saved-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
            with _temporary(target) as temporary, contextlib.closing(sqlite3.connect(temporary)) as copy:
                self._anchor.backup(copy)
            self._saved = target
        return self._saved

    def apply_wal(self) -> None:
        """Write what is only in a deleted ``-wal`` file into the database. Raises sqlite3.Error."""
        self._anchor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def has_successor(self, *, with_tasks: bool) -> bool:
        """Return whether a database has taken the place of the file; if ``with_tasks``, one that has tasks."""
        wal = _identity(beside(self.path, "-wal"))
        # The -wal file of the former database does not belong to the new one.
        mode = "immutable=1" if wal in (None, self._wal) else "mode=ro"
        uri = f"file:{quote(os.fspath(self.path))}?{mode}"
        try:
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
                count: int = connection.execute("SELECT count(*) FROM tasks").fetchone()[0]
        except sqlite3.Error:
            return False
        return bool(count) or not with_tasks

    def add_history(self) -> int:
        """Add to the new database at the path what the saved copy knows about the tasks of both; return the runs added.

        What ran since a backup was made has run, so that it does not run again, and its rows stay.
        """
        assert self._saved is not None, "save() comes first"
        if not self._saved.exists():  # it was moved to the path
            return 0
        with contextlib.closing(connect(self.path)) as connection:
            connection.isolation_level = None
            connection.execute("ATTACH ? AS former", (os.fspath(self._saved),))
            columns = ", ".join(f'"{row[1]}"' for row in connection.execute("PRAGMA former.table_info(runs)"))
            connection.execute("BEGIN IMMEDIATE")
            added = connection.execute(_ADD_RUNS.format(columns=columns)).rowcount
            connection.execute(_MOVE_ON)
            connection.execute(_KEEP_SERIES)
            connection.execute("COMMIT")
        return added

    def restore(self) -> bool:
        """Move the saved copy to the path if there is no file; return whether that was done."""
        if self._saved is None or not self.is_missing:
            return False
        for suffix in _BESIDE:
            beside(self.path, suffix).unlink(missing_ok=True)
        self._saved.rename(self.path)
        return True

    @contextlib.contextmanager
    def protected(self) -> Iterator[None]:
        """While connections to the file are closed, protect the files of another database at the path.

        The last connection that closes removes the ``-wal`` and ``-shm`` files by their names, whosever they are.
        """
        if _identity(beside(self.path, "-wal")) in (None, self._wal):
            yield
            return
        hidden = [(beside(self.path, suffix), beside(self.path, f"{suffix}.kept")) for suffix in _BESIDE]
        moved = [(name, kept) for name, kept in hidden if _rename(name, kept)]
        try:
            yield
        finally:
            for name, kept in moved:
                _rename(kept, name)


def connect(path: Path) -> sqlite3.Connection:
    """Open the file at ``path``; a missing one is not created."""
    uri = f"file:{quote(os.fspath(path))}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)


def create(path: Path) -> None:
    """Create an empty file, unless there is one.

    Raises:
        StorageError: the file was deleted while an engine had it open, and the copy that the engine saved is still
            there: a new database must not take its place unnoticed.
    """
    if path.exists():
        return
    saved = sorted(path.parent.glob(f"{path.name}.saved-*Z"))
    if saved:
        raise StorageError(
            f"the database {path} is missing; it was deleted while an engine was using it; "
            f"the engine saved its contents in {saved[-1].name}",
            hint=f"mv '{saved[-1]}' '{path}' restores it; remove that copy to begin with an empty database",
        )
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def set_foreign_wal_aside(path: Path, now: datetime) -> str:
    """Move a ``-wal`` file away that does not belong to the database; return what was done, "" for nothing.

    A backup that is copied over the database after a crash leaves the ``-wal`` file of the former one beside it. SQLite
    would apply it, and so destroy the backup. A file that makes a sound database malformed does not belong to it.
    """
    wal = beside(path, "-wal")
    if not _size(wal) or _is_sound(path):
        return ""
    aside = [
        (beside(path, suffix), beside(path, f"{suffix}.unused-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"))
        for suffix in _BESIDE
    ]
    moved = [(name, unused) for name, unused in aside if _rename(name, unused)]
    if _is_sound(path):
        return f"{wal.name} belongs to another database than {path}; it is kept as {moved[0][1].name}"
    for name, unused in moved:
        _rename(unused, name)
    return ""


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file that belongs to the database at ``path``."""
    return path.with_name(path.name + suffix)


def _is_sound(path: Path) -> bool:
    # Read-only, since a connection that may write applies the -wal file to the database when it is closed.
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(os.fspath(path))}?mode=ro", uri=True)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError as error:
        return not any(word in str(error) for word in ("malformed", "not a database"))


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """Give the name of a file that becomes ``target`` if nothing fails."""
    temporary = target.with_name(f"{target.name}.tmp")
    try:
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        yield temporary
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # for example without permission: SQLite reports it
        return -1, -1
    return status.st_dev, status.st_ino


def _rename(source: Path, target: Path) -> bool:
    try:
        source.rename(target)
    except FileNotFoundError:
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
