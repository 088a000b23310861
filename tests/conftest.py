"""Fixtures for all tests: an isolated installation, and a check for leaked processes."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import Installation

from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage.store import Store

_VARIABLE = "KEIJI_TEST"
_LIMIT = 10.0


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with empty tables, to be copied."""
    paths = Paths.under(tmp_path_factory.mktemp("migrated"))
    Store.open(Settings(), paths).close()
    return paths.database


@pytest.fixture
def installation(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Installation]:
    """A workspace with its own state and, once started, its own engine, which stops with the test."""
    created = Installation(tmp_path / "root")
    created.paths.create_folders()
    shutil.copy(migrated_sqlite, created.paths.database)
    yield created
    created.close()


@pytest.fixture(autouse=True)
def _no_leaked_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test whose processes outlive it. They have inherited a variable or have a path on their command line."""
    if "tmp_path" not in request.fixturenames:
        yield
        return
    folder = str(request.getfixturevalue("tmp_path"))
    os.environ[_VARIABLE] = folder
    yield
    del os.environ[_VARIABLE]
    deadline = time.monotonic() + _LIMIT
    while (leaked := _processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in leaked:
        os.kill(pid, signal.SIGKILL)
    assert not leaked, f"the test leaked processes: {leaked}"


def _processes_of(folder: str) -> dict[int, str]:
    """Return pid → command line of every other process that a test in ``folder`` started."""
    environment_entry, own = f"{_VARIABLE}={folder}\0".encode(), os.getpid()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            if pid == own or not (command := (entry / "cmdline").read_bytes()):  # a zombie has no command line
                continue
            if environment_entry in (entry / "environ").read_bytes() or folder.encode() + b"/" in command:
                found[pid] = command.replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has exited, or belongs to another user
    return found
