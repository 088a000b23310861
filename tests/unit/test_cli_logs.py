"""Showing and following logs without an engine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import Result, argv, run_command
from e2e.terminal import run_on_terminal

from keiji.paths import Paths
from keiji.settings import template
from keiji_engine.logs.writer import LogWriter


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.under(tmp_path)
    paths.workspace.mkdir()
    paths.settings.write_text(template("UTC"))
    return paths


def environment(paths: Paths) -> dict[str, str]:
    return {"KEIJI_ROOT": str(paths.data), "KEIJI_WORKSPACE": str(paths.workspace)}


def keiji(paths: Paths, *arguments: str, **variables: str) -> Result:
    return run_command(*arguments, environment=environment(paths) | variables)


@contextmanager
def following(paths: Paths, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    variables = os.environ | environment(paths)
    with subprocess.Popen(
        argv(*arguments), env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def write(path: Path, *lines: str, limit: int | None = None) -> None:
    writer = LogWriter(path, limit, "UTC")
    for line in lines:
        writer.append(f"{line}\n".encode())
    writer.close()


def test_the_last_100_lines_are_shown(paths: Paths) -> None:
    write(paths.task_log("ping"), *(f"line {number}" for number in range(150)))
    lines = keiji(paths, "task", "--logs", "--name=ping").stdout.splitlines()
    assert lines == [f"line {number}" for number in range(50, 150)]


def test_lines_option_limits_the_lines(paths: Paths) -> None:
    write(paths.task_log("ping"), "one", "two", "three")
    assert keiji(paths, "task", "logs", "ping", "-n", "2").stdout == "two\nthree\n"


@pytest.mark.parametrize("name", ["../my_task", "my [task]", "/my_task"])
def test_a_name_that_only_resembles_a_folder_does_not_show_its_log(paths: Paths, name: str) -> None:
    write(paths.task_log("my_task"), "here")
    result = keiji(paths, "task", "logs", name)
    assert (result.code, result.stdout) == (4, "")


@pytest.mark.parametrize("service", ["bus", "scheduler", "runner", "watcher", "repo"])
def test_the_log_of_each_service_is_shown(paths: Paths, service: str) -> None:
    write(paths.service_log(service), f"{service} online")
    assert keiji(paths, "system", "--logs", f"--{service}").stdout == f"{service} online\n"


def test_without_a_service_the_error_lists_all_services(paths: Paths) -> None:
    result = keiji(paths, "system", "--logs")
    assert result.code == 2
    assert "--bus, --scheduler" in result.stderr


def test_a_missing_log_is_reported_as_empty(paths: Paths) -> None:
    result = keiji(paths, "system", "logs", "bus")
    assert result.code == 0
    assert "nothing has been logged yet" in result.stderr
    assert result.stdout == ""


def test_a_negative_number_of_lines_is_wrong_usage(paths: Paths) -> None:
    assert keiji(paths, "system", "logs", "bus", "--lines=-1").code == 2


def test_follow_shows_new_lines_across_rotation_until_ctrl_c(paths: Paths) -> None:
    log = paths.task_log("ping")
    write(log, "before")
    with following(paths, "task", "logs", "ping", "--follow") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "before\n"
        for number in range(7):  # each line causes a rotation; there are more than rotated files are kept
            write(log, f"line {number}", limit=1)
            assert process.stdout.readline() == f"line {number}\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert process.returncode == 130
        assert not errors.strip()


def test_follow_ends_without_an_error_message_when_the_pipe_is_closed(paths: Paths) -> None:
    log = paths.task_log("ping")
    write(log, "before")
    with following(paths, "task", "logs", "ping", "-f") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "before\n"
        process.stdout.close()
        write(log, "after")
        assert process.stderr.read() == ""
        assert process.wait(timeout=10) == 1


def test_follow_ends_when_the_pipe_is_closed_even_if_nothing_is_logged_afterwards(paths: Paths) -> None:
    write(paths.task_log("ping"), "before")
    with following(paths, "task", "logs", "ping", "-f") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "before\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=10) == 1


@pytest.mark.parametrize(("editor", "is_refused"), [("vim", True), ("nano", True), ("code", False)])
def test_a_log_opens_in_the_selected_editor(paths: Paths, tmp_path: Path, editor: str, is_refused: bool) -> None:
    log = paths.task_log("ping")
    write(log, "before")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / editor).write_text(f'#!/bin/sh\necho "$1" > {programs}/opened\n')
    (programs / editor).chmod(0o755)
    words = ("task", "--logs", "--name", "ping", f"--{editor}")
    code, output = run_on_terminal(argv(*words), os.environ | environment(paths) | {"PATH": str(programs)})
    assert code == 0, output
    assert (programs / "opened").read_text() == f"{log}\n"

    (programs / "opened").unlink()
    redirected = keiji(paths, *words, PATH=str(programs))
    assert redirected.code == (2 if is_refused else 0)
    assert (f"--{editor} needs a terminal" in redirected.stderr) == is_refused
    assert (programs / "opened").exists() != is_refused


def test_a_missing_editor_is_named_in_the_error(paths: Paths, tmp_path: Path) -> None:
    write(paths.task_log("ping"), "before")
    result = keiji(paths, "task", "logs", "ping", "--nano", PATH=str(tmp_path))
    assert result.code == 1
    assert "nano is not installed" in result.stderr


def test_a_failing_editor_fails_the_command(paths: Paths, tmp_path: Path) -> None:
    write(paths.task_log("ping"), "before")
    (tmp_path / "code").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "code").chmod(0o755)
    result = keiji(paths, "task", "logs", "ping", "--code", PATH=str(tmp_path))
    assert result.code == 1
    assert "exit code 3" in result.stderr
