"""A shell per test, on its own installation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.shell import Shell


@pytest.fixture(scope="session")
def initialized_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation after ``keiji init``. Tests copy it, because migrating a new database is slow."""
    root = tmp_path_factory.mktemp("initialized") / "root"
    Shell(root)("init")
    return root


@pytest.fixture(scope="session")
def online(tmp_path_factory: pytest.TempPathFactory, initialized_root: Path) -> Iterator[Shell]:
    """A shell with a running engine, shared by all tests that use it. Each test creates its own tasks."""
    shell = Shell(tmp_path_factory.mktemp("online") / "root")
    shutil.copytree(initialized_root, shell.paths.data)
    shell("system start")
    yield shell
    shell.close()


@pytest.fixture
def new_keiji(tmp_path: Path) -> Iterator[Shell]:
    """A shell without a workspace."""
    shell = Shell(tmp_path / "root")
    yield shell
    shell.close()


@pytest.fixture
def keiji(new_keiji: Shell, initialized_root: Path) -> Shell:
    """A shell with an initialized workspace."""
    shutil.copytree(initialized_root, new_keiji.paths.data)
    return new_keiji
