"""The command line of ``keiji``: usage errors, help, exit codes, output streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from command_line import Result, argv, run_command, run_process

from keiji import __version__, engine_process
from keiji.paths import Paths
from keiji_cli.main import keiji as root_group


def keiji(root: Path, *arguments: str) -> Result:
    return run_command(*arguments, environment=engine_process.environment_for(Paths.under(root)))


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
    assert result.code == 2
    assert suggestion in result.stderr
    assert not result.stdout


def test_a_command_without_a_task_name_is_wrong_usage(tmp_path: Path) -> None:
    result = keiji(tmp_path, "task", "build")
    assert result.code == 2
    assert "NAME" in result.stderr


@pytest.mark.parametrize(
    ("command", "option"),
    [("system pause", "--reason"), ("task pause ping", "--reason"), ("demo", "--seconds")],
)
def test_an_option_without_its_value_is_wrong_usage_with_the_help_of_its_command(
    tmp_path: Path, command: str, option: str
) -> None:
    result = keiji(tmp_path, *command.split(), option)
    assert result.code == 2
    assert result.stderr.splitlines() == [
        f"Option '{option}' requires an argument.",
        f"keiji {command.removesuffix(' ping')} --help shows the usage",
    ]


@pytest.mark.parametrize(
    ("command", "hint"),
    [("create", "for example keiji task create ping_google"), ("get", "keiji task list shows all tasks")],
)
def test_an_empty_name_is_rejected_with_a_hint_for_the_command(tmp_path: Path, command: str, hint: str) -> None:
    result = keiji(tmp_path, "task", command, "")
    assert result.code == 2
    assert result.stderr.splitlines() == ["the name of the task is empty", hint]


@pytest.mark.parametrize("command", ["runs", "next"])
def test_the_number_of_rows_has_a_short_option(tmp_path: Path, command: str) -> None:
    result = keiji(tmp_path, "task", command, "ping", "-n", "0")
    assert result.code == 2
    assert "0 is not in the range" in result.stderr


@pytest.mark.parametrize("name", ["", "   ", os.fsdecode(b"\xff\xfe")], ids=["empty", "blank", "not UTF-8"])
def test_an_impossible_name_is_rejected_with_the_reason(tmp_path: Path, name: str) -> None:
    result = keiji(tmp_path, "task", "get", name)
    assert result.code == 2
    assert "name" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_workspace_a_command_fails_with_a_hint_and_creates_nothing(tmp_path: Path) -> None:
    result = keiji(tmp_path, "task", "get")
    assert result.code == 1
    assert "keiji init" in result.stderr
    assert not list(tmp_path.iterdir())


def test_version_option_prints_the_version(tmp_path: Path) -> None:
    assert keiji(tmp_path, "--version").stdout == f"keiji {__version__}\n"


@pytest.mark.parametrize("arguments", [["-V"], ["--version"]])
def test_python_m_keiji_is_the_command_line(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "keiji", *arguments]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == f"keiji {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "equivalent"),
    [
        (["-h"], ["--help"]),
        (["help"], ["--help"]),
        (["help", "task"], ["task", "--help"]),
        (["task", "-h"], ["task", "--help"]),
        (["help", "task", "build"], ["task", "build", "--help"]),
        (["help", "system", "status"], ["system", "status", "-h"]),
    ],
)
def test_help_can_be_spelled_in_several_ways(tmp_path: Path, arguments: list[str], equivalent: list[str]) -> None:
    result = keiji(tmp_path, *arguments)
    assert result.code == 0
    assert result.stdout == keiji(tmp_path, *equivalent).stdout
    assert "Usage: keiji" in result.stdout


@pytest.mark.parametrize(
    ("words", "hint"), [(["tsk"], "task"), (["task", "biuld"], "build"), (["task", "get", "x"], "--help")]
)
def test_help_of_an_unknown_command_is_wrong_usage(tmp_path: Path, words: list[str], hint: str) -> None:
    result = keiji(tmp_path, "help", *words)
    assert result.code == 2
    assert hint in result.stderr


def test_a_path_that_is_not_utf_8_is_refused_with_a_cure(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"\xff")
    for arguments in (["init"], ["task", "list"], ["system", "start"]):
        result = run_command(*arguments, environment={"KEIJI_ROOT": str(root)})
        assert result.code == 1
        assert "not valid UTF-8" in result.stderr
        assert "KEIJI_ROOT" in result.stderr
    for module in ("keiji_engine.main", "keiji_tui.cli"):
        command = [sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main())"]
        environment = os.environ | {"KEIJI_ROOT": str(root)}
        process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert process.returncode == 1
        assert "not valid UTF-8" in process.stderr
        assert "Traceback" not in process.stderr
    assert not list(tmp_path.iterdir())


def test_help_lists_commands_in_the_order_of_definition(tmp_path: Path) -> None:
    help_text = keiji(tmp_path, "task", "--help").stdout
    names = ["create", "build", "get", "runs", "logs", "disable", "delete"]
    assert sorted(names, key=lambda name: help_text.index(f"\n  {name} ")) == names


def test_the_summary_of_a_command_is_the_first_line_of_its_help() -> None:
    for name, reference in root_group.references.items():
        command = root_group.get_command(click.Context(root_group, **root_group.context_settings), name)
        assert command is not None
        assert command.help is not None
        assert reference.summary == command.help.splitlines()[0]


@pytest.mark.parametrize("group", ["task", "system", "db"])
def test_the_help_of_a_group_truncates_no_summary(tmp_path: Path, group: str) -> None:
    commands = keiji(tmp_path, group, "--help").stdout.partition("Commands:\n")[2]
    assert commands
    assert "..." not in commands


def test_a_closed_pipe_ends_the_command_without_an_error_message(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as pipe:
        process = subprocess.run(argv("--help"), stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert process.returncode == 1
    assert process.stderr == b""


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_output_only_loses_the_output(tmp_path: Path, redirection: str) -> None:
    init = ["sh", "-c", f'"$@" {redirection}', "sh", *argv("init")]
    process = subprocess.run(
        init, env=os.environ | {"KEIJI_ROOT": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0
    assert (tmp_path / "workspace" / "settings.conf").is_file()
    assert "Traceback" not in process.stderr
    assert ("standard output is closed" in process.stderr) == ("2>&-" not in redirection)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_cannot_be_written_is_an_error(unbuffered: str) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            argv("--help"), env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert process.returncode == 1
    assert process.stderr == "the output cannot be written: No space left on device\n"


def test_characters_outside_the_encoding_of_the_terminal_are_escaped(tmp_path: Path) -> None:
    environment = {"PYTHONIOENCODING": "latin-1", "KEIJI_ROOT": str(tmp_path / "計時")}
    result = run_process("task", "build", "計時", environment=environment)
    assert result.code == 1
    assert "\\u8a08" in result.stderr
