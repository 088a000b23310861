"""The store: an open database, and transactions on it. It is synchronous and holds no state but its connections."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from keiji.errors import StorageError
from keiji.paths import Paths
from keiji.records import RunOrigin
from keiji.settings import Settings
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.database import CommitFailed, Database
from keiji_engine.storage.ids import RunIds
from keiji_engine.storage.owner import ForeignDatabase, Installation
from keiji_engine.storage.revisions import Revisions
from keiji_engine.storage.sqlite_file import Unreachable
from keiji_engine.storage.transactions import Operation, Query, T, Transaction


class OutcomeUnknown(StorageError):
    """The database failed while it committed: the changes may be stored or not."""

    def __init__(self, error: StorageError, changes: Changes) -> None:
        super().__init__(error.message, hint=error.hint)
        self.changes = changes


class Store:
    """An open database. ``run_origin`` is recorded with each run that is claimed to be started."""

    def __init__(self, database: Database, settings: Settings, paths: Paths) -> None:
        self._database = database
        self._settings = settings
        self._paths = paths
        self._installation = Installation(paths, is_shared=settings.database_kind != "sqlite")
        self._ids = RunIds()
        self._revisions = Revisions()
        self.run_origin: RunOrigin | None = None

    @classmethod
    def open(cls, settings: Settings, paths: Paths) -> Store:
        """Open the database that the settings name, and bring its schema up to date.

        Raises:
            StorageError: it cannot be reached or used, or this version does not know its schema.
        """
        return cls(Database.open(settings, paths), settings, paths)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def check(self, *, deep: bool = False) -> None:
        """Raise StorageError if the database is certainly not usable, or not ours any more; see `Database.check`."""
        self._database.check(deep=deep)
        self.require_owner()

    def reopen(self, *, with_tasks: bool) -> bool:
        """Open the database that took the place of one that was deleted or replaced; return whether there is one.

        Args:
            with_tasks: whether a database without tasks is no replacement.

        Raises:
            StorageError: it cannot be used.
        """
        following = self._database.reopen(self._settings, self._paths, with_tasks=with_tasks)
        if following is None:
            return False
        self._database = following
        self._revisions.invalidate()
        return True

    def require_owner(self) -> None:
        """Raise ForeignDatabase if the database belongs to another installation."""
        with self._database.read() as connection:
            self._installation.check_owner(connection)

    def foreign_owner(self) -> str:
        """Return a description of the other installation that owns the database; "" if there is none."""
        with self._database.read() as connection:
            return self._installation.find_foreign_owner(connection)

    def take_over(self) -> str:
        """Make this installation the owner of the database; return a description of the former owner, "" for none."""
        with self._database.write() as connection:
            return self._installation.take_over(connection)

    def read(self, query: Query[T]) -> T:
        """Return what ``query`` returns, in one transaction. Raises StorageError, and what the query raises."""
        with self._database.read() as connection:
            return query(Transaction(connection, self._ids, self._revisions, self.run_origin))

    def write(self, *operations: Operation) -> Changes:
        """Commit operations in one transaction and return what changed.

        Raises:
            OutcomeUnknown: the commit failed.
            StorageError, KeijiError: nothing was changed.
        """
        [outcome] = self.write_batch([operations])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def write_batch(self, batch: Sequence[Sequence[Operation]], *, flush: bool = True) -> list[Changes | Exception]:
        """Commit several groups of operations together; each group takes effect as a whole or not at all.

        Returns for each group its changes, or the error for which it had no effect, or `OutcomeUnknown`. If the
        database rejects a statement, each group is committed in a transaction of its own, so that only the faulty one
        fails.

        Args:
            flush: whether the changes are on the disk when this returns; see `Database.write`.
        """
        if len(batch) == 1:
            return [self._write_alone(batch[0], flush=flush)]
        outcomes: list[Changes | Exception] = []
        try:
            with self._database.write(flush=flush) as connection:
                self._installation.claim(connection)
                for operations in batch:
                    transaction = Transaction(connection, self._ids, self._revisions, self.run_origin)
                    try:
                        with connection.begin_nested():
                            _execute(operations, transaction)
                    except SQLAlchemyError:
                        raise
                    except Exception as error:  # noqa: BLE001 - it is the outcome of this group, raised to its caller
                        outcomes.append(error)
                    else:
                        self._revisions.add(transaction.changes)
                        outcomes.append(transaction.changes)
        except CommitFailed as error:
            self._revisions.commit()
            return [OutcomeUnknown(error, outcome) if isinstance(outcome, Changes) else outcome for outcome in outcomes]
        except (Unreachable, ForeignDatabase) as error:
            self._revisions.rollback()
            return _failures(error, len(batch))
        except StorageError:
            self._revisions.rollback()
            return self._write_separately(batch, flush=flush)
        self._revisions.commit()
        return outcomes

    def _write_separately(self, batch: Sequence[Sequence[Operation]], *, flush: bool) -> list[Changes | Exception]:
        outcomes: list[Changes | Exception] = []
        for operations in batch:
            outcome = self._write_alone(operations, flush=flush)
            if isinstance(
                outcome, Unreachable | ForeignDatabase
            ):  # each further attempt could take until the connection times out
                return outcomes + _failures(outcome, len(batch) - len(outcomes))
            outcomes.append(outcome)
        return outcomes

    def _write_alone(self, operations: Sequence[Operation], *, flush: bool) -> Changes | Exception:
        changes = Changes()
        try:
            with self._database.write(flush=flush) as connection:
                self._installation.claim(connection)
                transaction = Transaction(connection, self._ids, self._revisions, self.run_origin)
                changes = transaction.changes
                _execute(operations, transaction)
                self._revisions.add(changes)
        except CommitFailed as error:
            self._revisions.commit()
            return OutcomeUnknown(error, changes)
        except Exception as error:  # noqa: BLE001 - it is the outcome, raised to the caller
            self._revisions.rollback()
            return error
        self._revisions.commit()
        return changes


def _failures(error: StorageError, count: int) -> list[Changes | Exception]:
    """Return errors for several callers, each of which raises its own."""
    return [type(error)(error.message, hint=error.hint) for _ in range(count)]


def _execute(operations: Sequence[Operation], transaction: Transaction) -> None:
    for operation in operations:
        operation(transaction)
