"""What all tests share: an installation of their own, and the proof that they left no process behind."""

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

pytest_plugins = ("databases",)

_MARK = "KEIJI_TEST"
_LIMIT = 10.0


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with tables and nothing in them, for copying."""
    paths = Paths.under(tmp_path_factory.mktemp("migrated"))
    Store.open(Settings(), paths).close()
    return paths.database


@pytest.fixture
def installation(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Installation]:
    """A workspace with state and, once started, an engine of its own; all of it is ended with the test."""
    made = Installation(tmp_path / "root")
    made.paths.make()
    shutil.copy(migrated_sqlite, made.paths.database)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _no_process_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test whose processes outlive it: they are known by a variable that they inherit, or by their files."""
    if "tmp_path" not in request.fixturenames:
        yield
        return
    folder = str(request.getfixturevalue("tmp_path"))
    os.environ[_MARK] = folder
    yield
    del os.environ[_MARK]
    deadline = time.monotonic() + _LIMIT
    while (left := _processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"the test left processes behind: {left}"


def _processes_of(folder: str) -> dict[int, str]:
    """Return pid → command line of every process, but this one, that a test in ``folder`` started."""
    mark, own = f"{_MARK}={folder}\0".encode(), os.getpid()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            if pid == own or not (command := (entry / "cmdline").read_bytes()):  # a zombie has no command line
                continue
            if mark in (entry / "environ").read_bytes() or folder.encode() + b"/" in command:
                found[pid] = command.replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended while we looked, or belongs to somebody else
    return found
