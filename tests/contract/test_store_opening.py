"""Opening a database: a new one, a current one, one being migrated, one with an unknown schema."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from ledger_samples import NOW, at, built_task, claim_of, ended
from repositories import Repositories, assert_schema_is_current

from keiji.errors import StorageError
from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage import schema
from keiji_engine.storage.database import Database
from keiji_engine.storage.preflight import describe_other_database
from keiji_engine.storage.store import Store

Spawn = Callable[[Settings, str], subprocess.Popen[str]]


def test_a_new_database_has_the_tables_of_the_code(empty: Settings, paths: Paths) -> None:
    assert_schema_is_current(empty, paths)


def test_the_revisions_are_those_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema._MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    assert [script.revision for script in scripts.walk_revisions()] == list(reversed(schema.REVISIONS))


def test_records_persist_when_the_database_is_opened_again(settings: Settings, paths: Paths) -> None:
    store = Repositories(Store.open(settings, paths))
    task = built_task(store)
    run = ended(store, "ping", 10)
    store.directives.insert("d1", "run", "ping", "", NOW)
    store.close()
    store = Repositories(Store.open(settings, paths))
    try:
        assert store.tasks.get("ping").task_id == task.task_id
        assert store.runs.latest("ping", 5) == [run]
        assert store.directives.get("d1") is not None
    finally:
        store.close()


def test_opening_a_current_database_does_not_import_alembic(settings: Settings, other_process: Spawn) -> None:
    body = """
from keiji_engine.storage.store import Store
Store.open(settings, paths).close()
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("alembic", "mako")))
"""
    assert other_process(settings, body).communicate(timeout=30)[0] == "[]\n"


def test_opening_waits_while_another_process_migrates(empty: Settings, paths: Paths, other_process: Spawn) -> None:
    body = """
import sqlalchemy as sa
from ledger_samples import NOW
from keiji_engine.storage.store import Store
@sa.event.listens_for(sa.Engine, "after_cursor_execute")
def pause(connection, cursor, statement, *rest):
    if "CREATE TABLE runs" in statement:
        print("half-way", flush=True)
        sys.stdin.readline()
Store.open(settings, paths).write(lambda transaction: transaction.tasks.create("first", "first", "", NOW))
"""
    process = other_process(empty, body)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "half-way\n"
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(Store.open, empty, paths)
        with pytest.raises(TimeoutError):
            opening.result(0.1)
        process.communicate("continue\n", timeout=30)
        store = Repositories(opening.result(10))
    try:
        assert process.returncode == 0
        assert store.tasks.get("first").name == "first"
        built_task(store)
    finally:
        store.close()


def test_an_unknown_revision_is_refused_and_left_unchanged(empty: Settings, paths: Paths) -> None:
    database = Database.open(empty, paths)
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for _ in range(2):
        with pytest.raises(StorageError, match=rf"schema 9999, .* does not know; it knows {schema.HEAD}") as caught:
            Store.open(empty, paths)
        assert "DB_URL" in caught.value.hint
    with database.read() as connection:
        assert schema.revision(connection) == "9999"
    database.close()


def test_a_killed_migration_leaves_nothing_behind(empty: Settings, paths: Paths, other_process: Spawn) -> None:
    body = """
import signal
import sqlalchemy as sa
from keiji_engine.storage.store import Store
@sa.event.listens_for(sa.Engine, "after_cursor_execute")
def die(connection, cursor, statement, *rest):
    if "CREATE TABLE runs" in statement:
        os.kill(os.getpid(), signal.SIGKILL)
Store.open(settings, paths)
"""
    process = other_process(empty, body)
    process.communicate(timeout=30)
    assert process.returncode == -9
    store = Repositories(Store.open(empty, paths))
    try:
        built_task(store)
        assert len(store.runs.claim([claim_of("ping", 10)], at(10))) == 1
    finally:
        store.close()


def test_a_database_error_becomes_a_storage_error_with_its_cause(empty: Settings, paths: Paths) -> None:
    database = Database.open(empty, paths)
    with database.write() as connection:
        connection.execute(sa.text("DROP TABLE directives"))
    store = Repositories(Store(database, empty, paths))
    try:
        with pytest.raises(StorageError, match=r"the database .*: .*directives") as caught:
            store.directives.get("d1")
        assert isinstance(caught.value.__cause__, sa.exc.SQLAlchemyError)
        assert store.tasks.all() == []
    finally:
        store.close()


def test_an_empty_database_beside_builds_of_tasks_is_described(empty: Settings, paths: Paths) -> None:
    assert describe_other_database(empty, paths) is None
    (paths.links / "ping").mkdir(parents=True)
    assert "has no tasks, but 1 of this workspace" in (describe_other_database(empty, paths) or "")
    store = Repositories(Store.open(empty, paths))
    store.tasks.create("ping", "ping", "", at(0))
    store.close()
    assert describe_other_database(empty, paths) is None
