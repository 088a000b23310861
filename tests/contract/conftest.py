"""Stores on each kind of database, and other processes that use the same one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from databases import SharedDatabase
from repositories import Repositories

from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage.store import Store


@pytest.fixture
def open_store(settings: Settings, paths: Paths) -> Iterator[Callable[[], Repositories]]:
    """Opens any number of stores on one database, and closes them at the end."""
    stores: list[Repositories] = []

    def open_another() -> Repositories:
        stores.append(Repositories(Store.open(settings, paths)))
        return stores[-1]

    yield open_another
    for store in stores:
        store.close()


@pytest.fixture
def store(shared_database: SharedDatabase) -> Repositories:
    """A store on a database with empty tables, which stays open; a test must not close it."""
    return Repositories(shared_database.store())


@pytest.fixture
def other_process(paths: Paths) -> Iterator[Callable[[Settings, str], subprocess.Popen[str]]]:
    """Runs Python code, which has ``settings`` and ``paths``, in a process that does not outlive the test."""
    processes: list[subprocess.Popen[str]] = []
    tests = Path(__file__).parents[1]

    def run(settings: Settings, body: str) -> subprocess.Popen[str]:
        preamble = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(tests)!r})
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
