"""PostgreSQL only: URLs, the optional driver, lost connections."""

from __future__ import annotations

import subprocess
import traceback
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from databases import PostgresqlServer, SharedDatabase
from ledger_samples import at, built_task, claim_of
from repositories import Repositories

from keiji.errors import StorageError
from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage.database import Database
from keiji_engine.storage.store import Store


@pytest.fixture
def kind() -> str:
    return "postgresql"


def test_both_spellings_of_the_scheme_are_accepted(settings: Settings, paths: Paths) -> None:
    for scheme in ("postgres", "postgresql"):
        store = Store.open(Settings(db_url=scheme + settings.db_url.removeprefix("postgresql")), paths)
        assert store.read(lambda transaction: transaction.tasks.all()) == []
        store.close()


def test_only_a_commit_that_must_not_be_lost_waits_for_the_disk(settings: Settings, paths: Paths) -> None:
    flushing = Settings(db_url=f"{settings.db_url}&options=-c%20synchronous_commit%3Don")  # the test server does not
    database = Database.open(flushing, paths)
    modes = []
    for flush in (True, False, True):
        with database.write(flush=flush) as connection:
            modes.append(connection.exec_driver_sql("SHOW synchronous_commit").scalar())
    assert modes == ["on", "off", "on"]
    database.close()


def test_the_next_call_works_after_the_server_dropped_every_connection(
    store: Repositories, shared_database: SharedDatabase, postgresql_server: PostgresqlServer
) -> None:
    built_task(store)
    database = sa.make_url(shared_database.settings.db_url).database
    postgresql_server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    assert len(store.runs.claim([claim_of("ping", 10)], at(10))) == 1


def test_calls_fail_while_the_database_is_unavailable_and_work_afterwards(
    store: Repositories, shared_database: SharedDatabase, postgresql_server: PostgresqlServer
) -> None:
    task = built_task(store)
    database = sa.make_url(shared_database.settings.db_url).database
    postgresql_server.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    postgresql_server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    for _ in range(2):
        with pytest.raises(StorageError, match="not currently accepting connections"):
            store.runs.claim([claim_of("ping", 10)], at(10))
    postgresql_server.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    assert store.tasks.get("ping") == task
    assert len(store.runs.claim([claim_of("ping", 10)], at(10))) == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter%20two@127.0.0.1:1/none",
        "postgres://me@127.0.0.1:1/none?password=hunter two",
        "postgresql://me:hunter two@127.0.0.1:no-port/none",
    ],
)
def test_an_unreachable_server_is_named_without_the_password(paths: Paths, url: str) -> None:
    with pytest.raises(StorageError) as caught:
        Store.open(Settings(db_url=url), paths)
    assert "hunter" not in "".join(traceback.format_exception(caught.value))
    assert "127.0.0.1:1/none" in str(caught.value) or "DB_URL" in str(caught.value)


def test_a_password_in_a_driver_message_is_removed(paths: Paths) -> None:
    with pytest.raises(StorageError) as caught:
        Store.open(Settings(db_url="postgresql://me:refused@127.0.0.1:1/none"), paths)
    assert "Connection …" in str(caught.value)


def test_without_the_driver_the_hint_says_how_to_install_it(
    settings: Settings, other_process: Callable[[Settings, str], subprocess.Popen[str]]
) -> None:
    body = """
sys.modules["psycopg"] = None  # importing it fails, as if it were not installed
from keiji.errors import StorageError
from keiji_engine.storage.store import Store
try:
    Store.open(settings, paths)
except StorageError as error:
    print(error.hint)
"""
    assert other_process(settings, body).communicate(timeout=30)[0] == "pip install 'keiji[postgresql]'\n"
