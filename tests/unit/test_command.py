"""The command of a command task: its program, its folder, and its parameters in place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji.parameters import Parameter
from keiji.records import Execution
from keiji_engine.builds.command import ProgramNotFound, find_program, insert_parameters, working_folder

DAY, N = Parameter(name="day", default=""), Parameter(name="n", default="1")


@given(st.text(), st.text())
def test_a_value_arrives_unchanged_whatever_it_contains(day: str, n: str) -> None:
    values = {"day": day, "n": n}
    argv = insert_parameters(["./x", "{day}", "a{n}b{day}", "{other}", "{}", "{{n}}"], (DAY, N), values)
    assert argv == ("./x", day, f"a{n}b{day}", "{other}", "{}", f"{{{n}}}")


def test_without_parameters_braces_are_literal() -> None:
    assert insert_parameters(["{day}"], (), {}) == ("{day}",)


def _program(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_a_program_is_looked_up_in_the_build_the_working_folder_or_the_path(tmp_path: Path) -> None:
    in_build = _program(tmp_path / "src" / "run.sh")
    in_cwd = _program(tmp_path / "cwd" / "bin" / "run.sh")
    in_path = _program(tmp_path / "path" / "tool")
    (tmp_path / "first" / "tool").mkdir(parents=True)  # a folder is no program
    environment = {"PATH": f"{tmp_path / 'first'}::{tmp_path / 'path'}"}
    for program, expected in (
        ("./run.sh", in_build),
        ("bin/run.sh", in_cwd),
        (str(in_path), in_path),
        ("tool", in_path),
    ):
        assert find_program(program, tmp_path / "src", tmp_path / "cwd", environment) == expected


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("./missing", "./missing in the task's folder does not exist"),
        ("./plain", "./plain in the task's folder is not executable"),
        ("./folder", "./folder in the task's folder is a folder"),
        ("/missing/x", "/missing/x does not exist"),
        ("missing", "there is no program 'missing' in PATH (/nowhere)"),
    ],
)
def test_a_program_that_cannot_be_executed_is_an_error(tmp_path: Path, program: str, error: str) -> None:
    _program(tmp_path / "plain", 0o644)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ProgramNotFound) as caught:
        find_program(program, tmp_path, tmp_path, {"PATH": "/nowhere"})
    assert caught.value.message == error


def test_the_working_folder_may_be_in_the_home_folder() -> None:
    environment = {"HOME": "/home/you"}
    assert working_folder(Execution(), Path("/state/work/a"), environment) == Path("/state/work/a")
    assert working_folder(Execution(cwd="~/x"), Path("/state/work/a"), environment) == Path("/home/you/x")
    assert working_folder(Execution(cwd="~"), Path("/state/work/a"), environment) == Path("/home/you")
    assert working_folder(Execution(cwd="/srv"), Path("/state/work/a"), environment) == Path("/srv")


@pytest.mark.parametrize(
    ("program", "hint"),
    [
        ("backup.sh", "for a program in the task's folder, write ./backup.sh"),
        ("ls > out", "for a line that a shell executes, write shell = 'ls > out' instead of command"),
    ],
)
def test_the_hint_for_an_unknown_program_is_what_was_probably_meant(tmp_path: Path, program: str, hint: str) -> None:
    with pytest.raises(ProgramNotFound) as caught:
        find_program(program, tmp_path, tmp_path, {"PATH": "/nowhere"})
    assert caught.value.hint == hint
