"""SQLite only: the file, the modes of its connections, and files that cannot be used."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest
import sqlalchemy as sa
from databases import SharedDatabase
from ledger_samples import NOW, a_build, at, built_task, claim_of
from repositories import Repositories

from keiji.errors import StorageError
from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage.database import CommitFailed, Database
from keiji_engine.storage.recent import recent_runs
from keiji_engine.storage.store import Store
from keiji_engine.storage.tables import is_open, runs


@pytest.fixture
def kind() -> str:
    return "sqlite"


def test_every_connection_has_the_safe_modes(settings: Settings, paths: Paths) -> None:
    database = Database.open(settings, paths)
    with database.read() as one, database.read() as two:
        for connection in (one, two):
            modes = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
            ]
            assert modes == ["wal", 1, 2, 5000]
    database.close()


def test_only_a_commit_that_must_not_be_lost_waits_for_the_disk(settings: Settings, paths: Paths) -> None:
    database = Database.open(settings, paths)
    modes = []
    for flush in (True, False, False, True):
        with database.write(flush=flush) as connection:
            modes.append(connection.exec_driver_sql("PRAGMA synchronous").scalar())
    full, normal = 2, 1
    assert modes == [full, normal, normal, full]
    database.close()


def test_the_folder_of_the_database_is_private(paths: Paths) -> None:
    Store.open(Settings(), paths).close()
    assert paths.database.parent.stat().st_mode & 0o777 == 0o700


def test_a_writer_waits_for_another_and_a_reader_does_not(store: Repositories, shared_database: SharedDatabase) -> None:
    built_task(store)
    other = sqlite3.connect(shared_database.paths.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE tasks SET description = 'changed'")
    claimed: list[object] = []
    waiting = Thread(target=lambda: claimed.extend(store.runs.claim([claim_of("ping", 10)], at(10))))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    assert store.read(lambda transaction: transaction.tasks.get("ping")).description == ""
    other.execute("COMMIT")
    other.close()
    waiting.join(5)
    assert len(claimed) == 1
    assert store.tasks.get("ping").description == "changed"


def test_a_failed_commit_does_not_leave_its_transaction_open(settings: Settings, paths: Paths) -> None:
    database = Database.open(settings, paths)

    def violate_a_deferred_constraint() -> None:
        with database.write() as connection:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            connection.exec_driver_sql(
                "INSERT INTO builds (task_id, hash, command, files, schedule, policy, import_seconds, created_at,"
                " activated_at) VALUES (99, 'a', '', '', '', '', 0, '', '')"
            )

    with pytest.raises(CommitFailed, match="FOREIGN KEY"):
        violate_a_deferred_constraint()
    store = Repositories(Store(database, settings, paths))
    built_task(store)
    assert store.tasks.builds_to_keep(10) == {a_build().hash}
    store.close()


def test_first_openings_take_turns(paths: Paths) -> None:
    # Two that switch to WAL at once fail too rarely for a test to wait for it: the test holds the lock instead.
    paths.database.parent.mkdir(parents=True)
    folder = os.open(paths.database.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(Store.open, Settings(), paths)
        with pytest.raises(TimeoutError):
            opening.result(0.1)
        assert not paths.database.exists()
        os.close(folder)
        store = opening.result(10)
    assert paths.database.exists()
    store.close()


def test_a_file_that_is_not_a_database_is_named(paths: Paths) -> None:
    paths.database.parent.mkdir(parents=True)
    paths.database.write_bytes(b"this is not what you think it is\n" * 200)
    with pytest.raises(StorageError, match=r"keiji\.db: file is not a database") as caught:
        Store.open(Settings(), paths)
    assert caught.value.hint


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file in the way")
    with pytest.raises(StorageError, match=r"root/db/keiji\.db: (Not a directory|File exists)"):
        Store.open(Settings(), Paths.under(tmp_path / "root"))


def test_frequent_queries_use_an_index(settings: Settings, paths: Paths) -> None:
    database = Database.open(settings, paths)
    newest = sa.select(runs).where(runs.c.task_id == 1).order_by(runs.c.created_at.desc(), runs.c.run_id.desc())
    expected = (
        (sa.select(runs).where(is_open(runs.c.state)), {"runs USING INDEX runs_open"}),
        (newest.limit(5), {"runs USING INDEX runs_by_creation"}),
        (recent_runs(20), {"runs USING INDEX runs_by_end", "older USING INDEX runs_by_end"}),
    )
    with database.read() as connection:
        for query, indexes in expected:
            text = query.compile(connection, compile_kwargs={"literal_binds": True})
            plan = " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
            assert all(index in plan for index in indexes), plan
            assert "SCAN runs " not in plan.replace("SCAN runs USING INDEX runs_open", "")
    database.close()


def test_moments_are_text_that_sorts_and_that_date_functions_read(
    store: Repositories, shared_database: SharedDatabase
) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    reader = sqlite3.connect(shared_database.paths.database)
    row = reader.execute("SELECT created_at, datetime(created_at) FROM tasks").fetchone()
    reader.close()
    assert row == ("2026-11-23T07:00:00.123456Z", "2026-11-23 07:00:00")
