"""Where things lie: all under one root, or in the platform's places, with sockets that fit."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest

from keiji.errors import KeijiError
from keiji.paths import LONGEST_SOCKET_PATH, Paths


def test_with_a_root_everything_lies_under_it(tmp_path: Path) -> None:
    paths = Paths.from_environment({"KEIJI_ROOT": str(tmp_path)})
    assert paths.workspace == tmp_path / "workspace"
    places = [getattr(paths, name) for name, kind in vars(Paths).items() if isinstance(kind, property)]
    assert len(places) >= 10
    runtime = {paths.runs, paths.engine, paths.control, paths.state, paths.log}
    for place in (*places, paths.source("x"), paths.link("x"), paths.task_log("x"), paths.service_log("bus")):
        assert place.is_relative_to(paths.runtime if place in runtime else tmp_path)


def test_the_workspace_may_lie_elsewhere(tmp_path: Path) -> None:
    environ = {"KEIJI_ROOT": str(tmp_path / "root"), "KEIJI_WORKSPACE": str(tmp_path / "mine")}
    paths = Paths.from_environment(environ)
    assert (paths.workspace, paths.data) == (tmp_path / "mine", tmp_path / "root")


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = Paths.from_environment({"KEIJI_ROOT": "root/../other", "KEIJI_WORKSPACE": "mine"})
    assert (paths.data, paths.workspace) == (tmp_path / "other", tmp_path / "mine")


def test_without_a_root_each_workspace_has_state_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    usual = Paths.from_environment({})
    assert usual.workspace == tmp_path / "keiji"
    one, two = (Paths.from_environment({"KEIJI_WORKSPACE": f"{tmp_path}/{name}/work"}) for name in "ab")
    everything = [getattr(paths, field.name) for paths in (usual, one, two) for field in fields(Paths)]
    assert len(set(everything)) == len(everything)
    assert all(paths.data.is_relative_to(tmp_path) for paths in (usual, one, two))
    assert Paths.from_environment({"KEIJI_WORKSPACE": f"{tmp_path}/keiji"}) == usual
    assert Paths.from_environment({"KEIJI_WORKSPACE": "~/keiji"}) == usual


@pytest.mark.parametrize("length", [1, 60, 90, 120, 250])
def test_sockets_fit_however_deep_the_root_is(tmp_path: Path, length: int) -> None:
    root = Path("/") / "/".join("x" * 30 for _ in range(length // 31)) / ("y" * (length % 31 or 1))
    paths = Paths.under(root)
    for socket in (paths.control, paths.state, paths.log):
        assert len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH
    assert Paths.under(root) == paths
    assert Paths.under(root / "other").runtime != paths.runtime


def test_the_folders_of_the_state_are_made_and_private(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "root")
    for _ in range(2):
        paths.make()
    for folder in (paths.data, paths.runtime, paths.runs, paths.database.parent, paths.builds, paths.links, paths.logs):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_runtime_folder_that_is_too_open_is_closed(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "root")
    paths.runtime.mkdir(parents=True)
    paths.runtime.chmod(0o777)
    paths.make()
    assert paths.runtime.stat().st_mode & 0o777 == 0o700


def test_a_runtime_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "root")
    (tmp_path / "trap").mkdir()
    paths.data.mkdir()
    paths.runtime.symlink_to(tmp_path / "trap")
    with pytest.raises(KeijiError, match="does not belong to you"):
        paths.make()
