"""The environment of a task, and parsing of its .env."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji.errors import KeijiError
from keiji_engine.builds.environment import child_environment, parse_env, quote, read_env


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1", {"A": "1"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("  export A = 1  ", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=\nB=2", {"A": "", "B": "2"}),
        ("A=''", {"A": ""}),
        ("# A=1\n\n   \n#", {}),
        ("A=one two # three", {"A": "one two"}),
        ("A= # nothing", {"A": ""}),
        ("A=http://x/#top", {"A": "http://x/#top"}),
        ("A=b=c", {"A": "b=c"}),
        ("A='$HOME \\n # \"'", {"A": '$HOME \\n # "'}),
        ('A="one\\ntwo \\"x\\" \\$HOME \\d" # comment', {"A": 'one\ntwo "x" $HOME \\d'}),
        ("KEY='-----BEGIN\nabc\n-----END'\nB=2", {"KEY": "-----BEGIN\nabc\n-----END", "B": "2"}),
        ("A=$HOME", {"A": "$HOME"}),
        ("NAME='計時 [x]'", {"NAME": "計時 [x]"}),
    ],
)
def test_values_are_parsed(text: str, expected: dict[str, str]) -> None:
    assert parse_env(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nhunter2", ".env, line 2: expected KEY=value"),
        ("\n\n2A=hunter2", ".env, line 3: expected KEY=value"),
        ("A='x\nhunter2", ".env, line 1: A has no closing '"),
        ("A='x\ny'\nB=\"hunter2", '.env, line 3: B has no closing "'),
        ("A='x' hunter2", ".env, line 1: A has text after its closing '"),
        ("A=1\nB=2\nA=hunter2", ".env, line 3: A is already set on line 1"),
        ("A=hunter2\0", ".env, line 1: A contains a NUL character, which is not allowed in environment variables"),
    ],
)
def test_an_invalid_line_is_reported_without_its_value(text: str, message: str) -> None:
    with pytest.raises(KeijiError) as failure:
        parse_env(text)

    assert str(failure.value) == message


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_quoted_values_are_parsed_back(value: str) -> None:
    text = f"A={quote(value)}\nB=after"

    assert parse_env(text) == {"A": value, "B": "after"}


@pytest.mark.parametrize("value", ['it\'s $HOME `id` "x" \\', "a b", "\\", "#=", "'", '"$(id)"'])
def test_a_shell_parses_a_quoted_value_identically(value: str) -> None:
    script = f'A={quote(value)}; printf %s "$A"'

    assert subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout == value


def test_a_missing_env_file_has_no_values(tmp_path: Path) -> None:
    assert read_env(tmp_path) == {}


def test_an_env_file_that_is_not_utf_8_is_rejected_with_its_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=1\nB=\xff\n")

    with pytest.raises(KeijiError, match=r"/\.env, line 2: not valid UTF-8"):
        read_env(tmp_path)


def test_a_named_pipe_as_env_file_is_rejected_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")

    with pytest.raises(KeijiError, match="not a regular file"):
        read_env(tmp_path)


def test_a_run_gets_a_few_variables_of_the_engine_and_all_of_its_own(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOKEN=secret\nTZ=Asia/Tokyo\nKEIJI_RUN_ID=mine\n")
    inherited = {
        "PATH": "/bin",
        "HOME": "/home/x",
        "LC_ALL": "C.UTF-8",
        "https_proxy": "http://p",
        "TZ": "UTC",
        "PYTHONPATH": "/elsewhere",
        "VIRTUAL_ENV": "/venv",
        "KEIJI_ROOT": "/state",
        "DB_URL": "postgresql://u:p@h/d",
        "AWS_SECRET_ACCESS_KEY": "k",
    }

    environment = child_environment(tmp_path, inherited, {"KEIJI_RUN_ID": "r1"})

    assert environment == {
        "PATH": "/bin",
        "HOME": "/home/x",
        "LC_ALL": "C.UTF-8",
        "https_proxy": "http://p",
        "TZ": "Asia/Tokyo",
        "TOKEN": "secret",
        "KEIJI_RUN_ID": "r1",
    }


def test_a_value_that_the_system_would_refuse_is_named_without_its_content(tmp_path: Path) -> None:
    folder = tmp_path / "ping"
    folder.mkdir()
    limit = 128 * 1024 - len("BLOB=") - 1
    (folder / ".env").write_text("SMALL=1\nBLOB=" + "x" * limit)
    subprocess.run(["/bin/true"], env=child_environment(folder, {}, {}), check=True)
    (folder / ".env").write_text("SMALL=1\nBLOB=" + "x" * (limit + 1))

    with pytest.raises(KeijiError) as failure:
        child_environment(folder, {}, {})

    assert failure.value.message == "ping/.env: BLOB has 131,073 bytes; a variable can have at most 131,072"
    assert "put large values into a file" in failure.value.hint


def test_variables_that_are_too_large_together_name_the_largest(tmp_path: Path) -> None:
    lines = [f"A{number}=" + "x" * 100_000 for number in range(60)]
    (tmp_path / ".env").write_text("\n".join([*lines, "LARGEST=" + "x" * 120_000]))

    with pytest.raises(KeijiError, match=r"/\.env has 6,12\d,\d+ bytes of variables, .*; the largest is LARGEST"):
        child_environment(tmp_path, {}, {})
