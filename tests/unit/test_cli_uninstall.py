"""What uninstall counts as its own, and what it does before it may remove anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keiji.paths import Paths
from keiji_cli.uninstall import size_of, state_of


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.under(tmp_path)
    paths.create_folders()
    paths.engine_lock.touch()
    paths.tasks.mkdir(parents=True)
    (paths.tasks / "function.py").write_text("precious")
    return paths


def uninstall(paths: Paths, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "keiji_cli.main", "system", "uninstall", *arguments],
        env=os.environ | {"KEIJI_ROOT": str(paths.data), "KEIJI_WORKSPACE": str(paths.workspace)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def everything(root: Path) -> set[Path]:
    return set(root.rglob("*"))


def test_the_workspace_is_never_within_what_is_keijis_own(paths: Paths) -> None:
    assert not any(paths.workspace.is_relative_to(path) for path in state_of(paths))


def test_the_size_of_a_folder_is_that_of_its_files_and_not_of_what_its_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_bytes(b"x" * 1000)
    (tmp_path / "outside").write_bytes(b"x" * 10**6)
    (tmp_path / "inner" / "link").symlink_to(tmp_path / "outside")
    assert 1000 < size_of(tmp_path / "inner") < 2000


def test_without_a_terminal_and_without_yes_nothing_is_removed(paths: Paths) -> None:
    before = everything(paths.data)
    ended = uninstall(paths)
    assert ended.returncode == 2
    assert "--yes" in ended.stderr
    assert everything(paths.data) == before


def test_the_state_goes_and_the_sources_stay(paths: Paths) -> None:
    (paths.builds / "abc").mkdir()
    (paths.builds / "abc" / "function.py").write_bytes(b"x" * 2048)
    (paths.builds / "abc").chmod(0o500)
    ended = uninstall(paths, "--yes")
    assert ended.returncode == 0, ended.stderr
    assert f"{paths.builds}" in ended.stdout
    assert "2.0 KiB" in ended.stdout
    assert str(paths.workspace) in ended.stdout
    assert everything(paths.data) == {paths.workspace, paths.tasks, paths.tasks / "function.py"}


def test_the_workspace_goes_as_well_where_that_is_asked_for(paths: Paths) -> None:
    ended = uninstall(paths, "--yes", "--workspace")
    assert ended.returncode == 0, ended.stderr
    assert not paths.data.exists()


def test_what_somebody_else_put_into_the_folder_is_left(paths: Paths) -> None:
    (paths.data / "notes.txt").touch()
    uninstall(paths, "--yes", "--workspace")
    assert everything(paths.data) == {paths.data / "notes.txt"}


def test_uninstalling_twice_finds_nothing_the_second_time(paths: Paths) -> None:
    uninstall(paths, "--yes", "--workspace")
    ended = uninstall(paths, "--yes", "--workspace")
    assert ended.returncode == 0
    assert "nothing to remove" in ended.stdout
