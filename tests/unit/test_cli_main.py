"""``keiji`` as a process: usage errors, help, exit codes, output streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from keiji import __version__
from keiji_cli.main import keiji as root_group


def keiji(root: Path, *arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"KEIJI_ROOT": str(root)} | environment
    variables.pop("KEIJI_WORKSPACE", None)
    return subprocess.run(
        [sys.executable, "-m", "keiji_cli.main", *arguments],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["tsk"], "task"),
        (["task", "biuld", "x"], "build"),
        (["task", "--bild", "--name=x"], "--build"),
        (["task", "build", "x", "--restrt"], "--restart"),
        (["system", "--stop", "--bsu"], "--bus"),
        (["system", "start", "schedular"], "scheduler"),
    ],
)
def test_a_misspelled_word_is_wrong_usage_with_a_suggestion(
    tmp_path: Path, arguments: list[str], suggestion: str
) -> None:
    result = keiji(tmp_path, *arguments)
    assert result.returncode == 2
    assert suggestion in result.stderr
    assert not result.stdout


def test_a_command_without_its_name_is_wrong_usage(tmp_path: Path) -> None:
    result = keiji(tmp_path, "task", "build")
    assert result.returncode == 2
    assert "NAME" in result.stderr


@pytest.mark.parametrize("name", ["", "   ", b"\xff\xfe"], ids=["empty", "blank", "not UTF-8"])
def test_an_impossible_name_is_rejected_with_the_reason(tmp_path: Path, name: str | bytes) -> None:
    result = keiji(tmp_path, "task", "get", name)
    assert result.returncode == 2
    assert "name" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_workspace_a_command_fails_with_a_hint_and_creates_nothing(tmp_path: Path) -> None:
    result = keiji(tmp_path, "task", "get")
    assert result.returncode == 1
    assert "keiji init" in result.stderr
    assert not list(tmp_path.iterdir())


def test_version_option_prints_the_version(tmp_path: Path) -> None:
    assert keiji(tmp_path, "--version").stdout == f"keiji {__version__}\n"


def test_help_lists_commands_in_the_order_of_definition(tmp_path: Path) -> None:
    help_text = keiji(tmp_path, "task", "--help").stdout
    names = ["create", "build", "get", "runs", "logs", "disable", "delete"]
    assert sorted(names, key=lambda name: help_text.index(f"\n  {name} ")) == names


def test_the_summary_of_a_command_is_the_first_line_of_its_help() -> None:
    for name, reference in root_group.references.items():
        command = root_group.get_command(click.Context(root_group), name)
        assert command is not None
        assert command.help is not None
        assert reference.summary == command.help.splitlines()[0]


@pytest.mark.parametrize("group", ["task", "system"])
def test_no_summary_is_cut_off_in_the_help_of_a_group(tmp_path: Path, group: str) -> None:
    commands = keiji(tmp_path, group, "--help").stdout.partition("Commands:\n")[2]
    assert commands
    assert "..." not in commands


@pytest.mark.parametrize("arguments", [["--help"], ["task", "--help"], ["--version"]])
def test_help_imports_no_heavy_module(tmp_path: Path, arguments: list[str]) -> None:
    program = f"""
import sys
from keiji_cli.main import run
assert run({arguments!r}) == 0
heavy = {{"sqlalchemy", "alembic", "zmq", "msgspec", "textual", "rich", "asyncio", "platformdirs"}} & set(sys.modules)
sys.exit(f"loaded {{sorted(heavy)}}" if heavy else 0)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_a_closed_pipe_ends_the_command_without_an_error_message(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as pipe:
        result = subprocess.run(
            [sys.executable, "-m", "keiji_cli.main", "--help"], stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert result.returncode == 1
    assert result.stderr == b""


def test_characters_outside_the_encoding_of_the_terminal_are_escaped(tmp_path: Path) -> None:
    result = keiji(tmp_path, "task", "build", "計時", PYTHONIOENCODING="latin-1", KEIJI_ROOT=str(tmp_path / "計時"))
    assert result.returncode == 1
    assert "\\u8a08" in result.stderr
