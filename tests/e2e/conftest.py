"""A shell for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.shell import Shell


@pytest.fixture
def keiji(tmp_path: Path) -> Iterator[Shell]:
    """Commands that run in this process wherever they start no other."""
    shell = Shell(tmp_path / "root", processes=False)
    yield shell
    shell.close()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Commands as processes of their own."""
    shell = Shell(tmp_path / "root", processes=True)
    yield shell
    shell.close()
