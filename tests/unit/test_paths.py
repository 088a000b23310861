"""Paths: under one root or in the directories of the platform, and the creation of folders."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest

from keiji.errors import KeijiError
from keiji.paths import MAX_SOCKET_PATH_BYTES, Paths


def test_with_a_root_all_paths_are_under_it(tmp_path: Path) -> None:
    paths = Paths.from_environment({"KEIJI_ROOT": str(tmp_path)})
    assert paths.workspace == tmp_path / "workspace"
    properties = [getattr(paths, name) for name, kind in vars(Paths).items() if isinstance(kind, property)]
    assert len(properties) >= 10
    runtime = {paths.engine_info, paths.control_socket, paths.state_socket, paths.log_socket}
    for path in (*properties, paths.source("x"), paths.link("x"), paths.task_log("x"), paths.service_log("bus")):
        assert path.is_relative_to(paths.runtime if path in runtime else tmp_path)


def test_the_workspace_may_be_outside_the_root(tmp_path: Path) -> None:
    environ = {"KEIJI_ROOT": str(tmp_path / "root"), "KEIJI_WORKSPACE": str(tmp_path / "mine")}
    paths = Paths.from_environment(environ)
    assert (paths.workspace, paths.data) == (tmp_path / "mine", tmp_path / "root")


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = Paths.from_environment({"KEIJI_ROOT": "root/../other", "KEIJI_WORKSPACE": "mine"})
    assert (paths.data, paths.workspace) == (tmp_path / "other", tmp_path / "mine")


def test_without_a_root_each_workspace_has_its_own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    default = Paths.from_environment({})
    assert default.workspace == tmp_path / "keiji"
    one, two = (Paths.from_environment({"KEIJI_WORKSPACE": f"{tmp_path}/{name}/work"}) for name in "ab")
    folders = [getattr(paths, field.name) for paths in (default, one, two) for field in fields(Paths)]
    assert len(set(folders)) == len(folders)
    assert all(paths.data.is_relative_to(tmp_path) for paths in (default, one, two))
    assert Paths.from_environment({"KEIJI_WORKSPACE": f"{tmp_path}/keiji"}) == default
    assert Paths.from_environment({"KEIJI_WORKSPACE": "~/keiji"}) == default


@pytest.mark.parametrize("length", [1, 60, 90, 120, 250])
def test_socket_paths_are_short_enough_for_any_root(tmp_path: Path, length: int) -> None:
    root = Path("/") / "/".join("x" * 30 for _ in range(length // 31)) / ("y" * (length % 31 or 1))
    paths = Paths.under(root)
    for socket in (paths.control_socket, paths.state_socket, paths.log_socket):
        assert len(os.fsencode(socket)) <= MAX_SOCKET_PATH_BYTES
    assert Paths.under(root) == paths
    assert Paths.under(root / "other").runtime != paths.runtime


def test_the_state_folders_are_created_with_mode_0700(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "root")
    for _ in range(2):
        paths.create_folders()
    for folder in (paths.data, paths.runtime, paths.runs, paths.database.parent, paths.builds, paths.links, paths.logs):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_runtime_folder_with_open_permissions_is_restricted(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "root")
    paths.runtime.mkdir(parents=True)
    paths.runtime.chmod(0o777)
    paths.create_folders()
    assert paths.runtime.stat().st_mode & 0o777 == 0o700


def test_a_runtime_folder_that_is_a_symlink_is_rejected(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "root")
    (tmp_path / "trap").mkdir()
    paths.data.mkdir()
    paths.runtime.symlink_to(tmp_path / "trap")
    with pytest.raises(KeijiError, match="is not a folder that you own"):
        paths.create_folders()
