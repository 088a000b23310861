"""What is wrong with the files of a task, as far as no engine is needed to see it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ledger_samples import a_build

from keiji.paths import Paths
from keiji.reasons import Code, reason
from keiji.records import Task
from keiji_engine.builds.builder import ENTRY
from keiji_engine.handlers.obstacles import find_obstacles


def test_an_interpreter_that_has_vanished_is_an_obstacle(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    paths.source("ping").mkdir(parents=True)
    python = tmp_path / "venv" / "bin" / "python"
    build = replace(a_build(), command=(str(python), ENTRY, "--run"))
    (paths.builds / build.hash).mkdir(parents=True)
    (paths.builds / build.hash / ENTRY).touch()
    task = Task(id=1, task_id="t", name="ping", slug="ping", build=build.hash)

    assert find_obstacles(task, build, paths) == (reason(Code.INTERPRETER_MISSING, path=str(python)),)
    python.parent.mkdir(parents=True)
    python.touch(0o644)
    assert find_obstacles(task, build, paths) == (reason(Code.INTERPRETER_MISSING, path=str(python)),)
    python.unlink()
    python.symlink_to("/bin/sh")
    assert find_obstacles(task, build, paths) == ()
