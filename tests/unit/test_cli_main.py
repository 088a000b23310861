"""How ``keiji`` starts and ends, as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keiji import __version__


def keiji(root: Path, *arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"KEIJI_ROOT": str(root)} | environment
    environ.pop("KEIJI_WORKSPACE", None)
    return subprocess.run(
        [sys.executable, "-m", "keiji_cli.main", *arguments],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["tsk"], "task"),
        (["task", "biuld", "x"], "build"),
        (["task", "--bild", "--name=x"], "--build"),
        (["task", "build", "x", "--restrt"], "--restart"),
        (["system", "--stop", "--bsu"], "--bus"),
        (["system", "start", "schedular"], "scheduler"),
    ],
)
def test_a_slip_of_the_finger_is_wrong_usage_and_answered_with_the_nearest(
    tmp_path: Path, arguments: list[str], nearest: str
) -> None:
    ended = keiji(tmp_path, *arguments)
    assert ended.returncode == 2
    assert nearest in ended.stderr
    assert not ended.stdout


def test_a_command_without_its_name_is_wrong_usage(tmp_path: Path) -> None:
    ended = keiji(tmp_path, "task", "build")
    assert ended.returncode == 2
    assert "NAME" in ended.stderr


@pytest.mark.parametrize("name", ["", "   ", b"\xff\xfe"], ids=["empty", "blank", "not UTF-8"])
def test_what_can_be_no_name_is_refused_with_the_reason(tmp_path: Path, name: str | bytes) -> None:
    ended = keiji(tmp_path, "task", "get", name)
    assert ended.returncode == 2
    assert "name" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_workspace_every_command_says_how_to_make_one(tmp_path: Path) -> None:
    ended = keiji(tmp_path, "task", "get")
    assert ended.returncode == 1
    assert "keiji init" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_the_version_is_told(tmp_path: Path) -> None:
    assert keiji(tmp_path, "--version").stdout == f"keiji {__version__}\n"


def test_help_lists_the_verbs_in_the_order_of_a_tasks_life(tmp_path: Path) -> None:
    shown = keiji(tmp_path, "task", "--help").stdout
    verbs = ["create", "build", "get", "runs", "logs", "disable", "delete"]
    assert sorted(verbs, key=lambda verb: shown.index(f"\n  {verb} ")) == verbs


@pytest.mark.parametrize("arguments", [["--help"], ["task", "--help"], ["--version"]])
def test_help_loads_nothing_that_it_does_not_need(tmp_path: Path, arguments: list[str]) -> None:
    program = f"""
import sys
from keiji_cli.main import run
assert run({arguments!r}) == 0
heavy = {{"sqlalchemy", "alembic", "zmq", "msgspec", "textual", "rich", "asyncio", "platformdirs"}} & set(sys.modules)
sys.exit(f"loaded {{sorted(heavy)}}" if heavy else 0)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr


def test_a_closed_pipe_ends_it_without_a_complaint(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        ended = subprocess.run(
            [sys.executable, "-m", "keiji_cli.main", "--help"], stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == b""


def test_a_terminal_that_cannot_show_a_letter_gets_it_escaped(tmp_path: Path) -> None:
    ended = keiji(tmp_path, "task", "build", "計時", PYTHONIOENCODING="latin-1", KEIJI_ROOT=str(tmp_path / "計時"))
    assert ended.returncode == 1
    assert "\\u8a08" in ended.stderr
