"""Fixtures for all tests: an installation, a shared engine, and the check that a test leaves no process behind."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import engine_fork
import pytest
from installation import Installation

from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage.store import Store

pytest_plugins = ("databases",)

# The tests start hundreds of processes: without bytecode files, each of them would compile all modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell in which the tests run in the background, or under nohup, has these signals ignored; programs inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

_MARK = "KEIJI_TEST"  # an environment variable that all processes of a test inherit
_LIMIT = 10.0


def pytest_collection_finish() -> None:
    """Spare the garbage collector the modules and the collected tests, which would take a twentieth of all time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with empty tables, to be copied."""
    paths = Paths.under(tmp_path_factory.mktemp("migrated"))
    Store.open(Settings(), paths).close()
    return paths.database


@pytest.fixture(scope="session")
def _engine_server() -> None:
    """The process that engines are forked from. It starts before a test does, so it belongs to none."""
    engine_fork.start_server()


@pytest.fixture
def installation(tmp_path: Path, migrated_sqlite: Path, _engine_server: None) -> Iterator[Installation]:
    """An installation without tasks; its engine, once started, and all runs are ended after the test."""
    installation = _installation(tmp_path / "root", migrated_sqlite)
    yield installation
    installation.close()


@pytest.fixture(scope="session")
def _new_shared_installation(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, _engine_server: None
) -> Iterator[Callable[[], Installation]]:
    installations: list[Installation] = []

    def create() -> Installation:
        # Its engine is idle most of the time, and polls no more often than necessary.
        installations.append(
            _installation(tmp_path_factory.mktemp("shared") / "root", migrated_sqlite, polls_often=False)
        )
        return installations[-1]

    yield create
    for installation in installations:
        installation.close()
        _end_processes(installation.paths.data, frozenset())


@pytest.fixture(scope="session")
def _shared_installation(_new_shared_installation: Callable[[], Installation]) -> Installation:
    return _new_shared_installation()


@pytest.fixture(scope="session")
def _shared_installation_ahead(_new_shared_installation: Callable[[], Installation]) -> Installation:
    return _new_shared_installation()


@pytest.fixture
def shared(_shared_installation: Installation) -> Iterator[Installation]:
    """An installation with a running engine that other tests use as well; its tasks are deleted after each test.

    A test may kill or stop the engine. It must not stop a service, change the settings, move the clock, or rely on an
    empty history.
    """
    yield from _with_engine_and_without_tasks(_shared_installation)


@pytest.fixture
def shared_ahead(_shared_installation_ahead: Installation) -> Iterator[Installation]:
    """Another such installation, whose clock the tests move forward.

    The time of a run is real time, so that a delay after its end may have passed already: retries are not tested here.
    """
    yield from _with_engine_and_without_tasks(_shared_installation_ahead)


def _with_engine_and_without_tasks(installation: Installation) -> Iterator[Installation]:
    if installation.engine is None:
        installation.start()
    yield installation
    if installation.engine is None:
        installation.start()
    installation.delete_tasks()


def _installation(root: Path, database: Path, *, polls_often: bool = True) -> Installation:
    installation = Installation(root, polls_often=polls_often)
    installation.paths.create_folders()
    shutil.copy(database, installation.paths.database)
    return installation


@pytest.fixture
def seed() -> int:
    """The seed of a test that draws at random. It is printed when the test fails; KEIJI_SEED sets it for a replay."""
    seed = int(os.environ.get("KEIJI_SEED") or random.SystemRandom().randrange(2**32))
    print(f"replay with KEIJI_SEED={seed}")  # noqa: T201
    return seed


@pytest.fixture(autouse=True)
def _no_process_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test whose processes outlive it. They are recognized by the environment variable or the command line."""
    if "tmp_path" not in request.fixturenames:
        yield
        return
    folder = request.getfixturevalue("tmp_path")
    before = frozenset(Path("/proc").iterdir())
    os.environ[_MARK] = str(folder)
    yield
    del os.environ[_MARK]
    _end_processes(folder, before)


def _end_processes(folder: Path, before: frozenset[Path]) -> None:
    """Wait until no process of a test in ``folder`` is left; kill those that do not end, and fail.

    Args:
        before: entries of /proc that existed before the test.
    """
    deadline = time.monotonic() + _LIMIT
    while (left := _processes_of(folder, before)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"the test left processes behind: {left}"


def _processes_of(folder: Path, before: frozenset[Path]) -> dict[int, str]:
    """Return pid → command line of the processes that a test in ``folder`` started."""
    mark, path = f"{_MARK}={folder}\0".encode(), f"{folder}/".encode()
    processes = {}
    for entry in Path("/proc").iterdir():
        if entry in before or not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if not (command := (entry / "cmdline").read_bytes()):  # a zombie has no command line
                continue
            if mark in (entry / "environ").read_bytes() or path in command:
                processes[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended, or belongs to another user
    return processes
