"""Uninstall: which files it removes, and confirmation."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Result, run_command, run_process

from keiji.paths import Paths
from keiji_cli.uninstall import find_state, total_size


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.under(tmp_path)
    paths.create_folders()
    paths.engine_lock.touch()
    paths.tasks.mkdir(parents=True)
    (paths.tasks / "function.py").write_text("precious")
    return paths


def environment(paths: Paths) -> dict[str, str]:
    return {"KEIJI_ROOT": str(paths.data), "KEIJI_WORKSPACE": str(paths.workspace)}


def uninstall(paths: Paths, *arguments: str) -> Result:
    return run_command("system", "uninstall", *arguments, environment=environment(paths))


def tree(root: Path) -> set[Path]:
    return set(root.rglob("*"))


def test_the_workspace_is_not_part_of_the_state(paths: Paths) -> None:
    assert not any(paths.workspace.is_relative_to(path) for path in find_state(paths))


def test_the_size_of_a_folder_excludes_the_targets_of_links(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_bytes(b"x" * 1000)
    (tmp_path / "outside").write_bytes(b"x" * 10**6)
    (tmp_path / "inner" / "link").symlink_to(tmp_path / "outside")
    assert 1000 < total_size(tmp_path / "inner") < 2000


def test_without_a_terminal_and_without_yes_nothing_is_removed(paths: Paths) -> None:
    before = tree(paths.data)
    result = run_process("system", "uninstall", environment=environment(paths))
    assert result.code == 2
    assert "--yes" in result.stderr
    assert tree(paths.data) == before


def test_the_state_is_removed_and_the_sources_are_kept(paths: Paths) -> None:
    (paths.builds / "abc").mkdir()
    (paths.builds / "abc" / "function.py").write_bytes(b"x" * 2048)
    (paths.builds / "abc").chmod(0o500)
    result = uninstall(paths, "--yes")
    assert result.code == 0, result.stderr
    assert f"{paths.builds}" in result.stdout
    assert "2.0 KiB" in result.stdout
    assert str(paths.workspace) in result.stdout
    assert tree(paths.data) == {paths.workspace, paths.tasks, paths.tasks / "function.py"}


def test_workspace_option_removes_the_workspace_too(paths: Paths) -> None:
    result = uninstall(paths, "--yes", "--workspace")
    assert result.code == 0, result.stderr
    assert not paths.data.exists()


def test_unknown_files_in_the_data_folder_are_kept(paths: Paths) -> None:
    (paths.data / "notes.txt").touch()
    uninstall(paths, "--yes", "--workspace")
    assert tree(paths.data) == {paths.data / "notes.txt"}


def test_a_second_uninstall_has_nothing_to_remove(paths: Paths) -> None:
    uninstall(paths, "--yes", "--workspace")
    result = uninstall(paths, "--yes", "--workspace")
    assert result.code == 0
    assert "nothing to remove" in result.stdout
