"""Showing and following logs, with no engine anywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keiji.paths import Paths
from keiji.settings import template
from keiji_engine.logs.writer import LogWriter


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.under(tmp_path)
    paths.workspace.mkdir()
    paths.settings.write_text(template("UTC"))
    return paths


def command(paths: Paths, *arguments: str) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "keiji_cli.main", *arguments], os.environ | {
        "KEIJI_ROOT": str(paths.data),
        "KEIJI_WORKSPACE": str(paths.workspace),
    }


def keiji(paths: Paths, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    words, environment = command(paths, *arguments)
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30
    )


@contextmanager
def following(paths: Paths, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    words, environment = command(paths, *arguments)
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def write(path: Path, *lines: str, limit: int | None = None) -> None:
    writer = LogWriter(path, limit, "UTC")
    for line in lines:
        writer.append(f"{line}\n".encode())
    writer.close()


def test_the_last_hundred_lines_are_shown(paths: Paths) -> None:
    write(paths.task_log("ping"), *(f"line {number}" for number in range(150)))
    shown = keiji(paths, "task", "--logs", "--name=ping").stdout.splitlines()
    assert shown == [f"line {number}" for number in range(50, 150)]


def test_so_many_lines_are_shown_as_are_asked_for(paths: Paths) -> None:
    write(paths.task_log("ping"), "one", "two", "three")
    assert keiji(paths, "task", "logs", "ping", "-n", "2").stdout == "two\nthree\n"


@pytest.mark.parametrize("name", ["../my_task", "my [task]", "/my_task"])
def test_the_log_of_another_task_is_not_shown_for_a_name_that_is_near_its_folder(paths: Paths, name: str) -> None:
    write(paths.task_log("my_task"), "here")
    found = keiji(paths, "task", "logs", name)
    assert (found.returncode, found.stdout) == (4, "")


@pytest.mark.parametrize("service", ["bus", "scheduler", "runner", "watcher", "repo"])
def test_the_log_of_each_service_is_shown(paths: Paths, service: str) -> None:
    write(paths.service_log(service), f"{service} online")
    assert keiji(paths, "system", "--logs", f"--{service}").stdout == f"{service} online\n"


def test_without_the_name_of_a_service_all_are_named(paths: Paths) -> None:
    ended = keiji(paths, "system", "--logs")
    assert ended.returncode == 2
    assert "--bus, --scheduler" in ended.stderr


def test_a_log_that_is_not_there_yet_is_said_to_be_empty(paths: Paths) -> None:
    ended = keiji(paths, "system", "logs", "bus")
    assert ended.returncode == 0
    assert "nothing in it" in ended.stderr
    assert ended.stdout == ""


def test_a_negative_number_of_lines_is_wrong_usage(paths: Paths) -> None:
    assert keiji(paths, "system", "logs", "bus", "--lines=-1").returncode == 2


def test_following_shows_what_comes_across_rotation_and_ends_with_ctrl_c(paths: Paths) -> None:
    log = paths.task_log("ping")
    write(log, "before")
    with following(paths, "task", "logs", "ping", "--follow") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "before\n"
        for number in range(7):  # each is a rotation, and more than are kept
            write(log, f"line {number}", limit=1)
            assert process.stdout.readline() == f"line {number}\n"
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=10)
        assert process.returncode == 130
        assert not complaint.strip()


def test_following_ends_quietly_when_nobody_reads_any_more(paths: Paths) -> None:
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


@pytest.mark.parametrize("editor", ["vim", "nano", "code"])
def test_a_log_opens_in_the_editor_of_choice(paths: Paths, tmp_path: Path, editor: str) -> None:
    log = paths.task_log("ping")
    write(log, "before")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / editor).write_text(f'#!/bin/sh\necho "$1" > {programs}/opened\n')
    (programs / editor).chmod(0o755)
    ended = keiji(paths, "task", "--logs", "--name", "ping", f"--{editor}", path=str(programs))
    assert ended.returncode == 0, ended.stderr
    assert (programs / "opened").read_text() == f"{log}\n"


def test_an_editor_that_is_not_installed_is_named(paths: Paths, tmp_path: Path) -> None:
    write(paths.task_log("ping"), "before")
    ended = keiji(paths, "task", "logs", "ping", "--nano", path=str(tmp_path))
    assert ended.returncode == 1
    assert "nano is not installed" in ended.stderr


def test_an_editor_that_fails_is_no_success(paths: Paths, tmp_path: Path) -> None:
    write(paths.task_log("ping"), "before")
    (tmp_path / "vim").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "vim").chmod(0o755)
    ended = keiji(paths, "task", "logs", "ping", "--vim", path=str(tmp_path))
    assert ended.returncode == 1
    assert "exit code 3" in ended.stderr
