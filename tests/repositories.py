"""A store for tests: each call of a method of a repository is one transaction. And a check of the schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage import schema
from keiji_engine.storage.backfills import BackfillRepository
from keiji_engine.storage.database import Database
from keiji_engine.storage.directives import DirectiveRepository
from keiji_engine.storage.history import HistoryRepository
from keiji_engine.storage.runs import RunRepository
from keiji_engine.storage.store import Store
from keiji_engine.storage.system_state import SystemStateRepository
from keiji_engine.storage.tables import metadata
from keiji_engine.storage.tasks import TaskRepository
from keiji_engine.storage.transactions import Transaction


class Repositories:
    """An open store, and its repositories. Their methods also raise what `Store.write` raises."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.read = store.read
        self.write = store.write
        self.write_batch = store.write_batch
        self.close = store.close
        self.tasks = cast(TaskRepository, _Repository(store, lambda transaction: transaction.tasks))
        self.runs = cast(RunRepository, _Repository(store, lambda transaction: transaction.runs))
        self.backfills = cast(BackfillRepository, _Repository(store, lambda transaction: transaction.backfills))
        self.history = cast(HistoryRepository, _Repository(store, lambda transaction: transaction.history))
        self.directives = cast(DirectiveRepository, _Repository(store, lambda transaction: transaction.directives))
        self.system = cast(SystemStateRepository, _Repository(store, lambda transaction: transaction.system))


class _Repository:
    """Has the methods of the repository that ``select`` returns."""

    def __init__(self, store: Store, select: Callable[[Transaction], object]) -> None:
        self._store = store
        self._select = select

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            results: list[Any] = []

            def operation(transaction: Transaction) -> None:
                results.append(getattr(self._select(transaction), name)(*arguments, **options))

            self._store.write(operation)
            return results[-1]

        return call


def assert_schema_is_current(settings: Settings, paths: Paths) -> None:
    """Open the database; check that it is at the newest revision and has exactly the tables of the code."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    database = Database.open(settings, paths)
    try:
        with database.read() as connection:
            assert schema.revision(connection) == schema.HEAD
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    finally:
        database.close()
