"""task.toml: every key is read, and every mistake is reported with its line, its key and what is allowed."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji.errors import InvalidTaskFile
from keiji.policy import Overlap, Policy, Retry
from keiji.records import TaskKind
from keiji_engine.builds.task_file import format_task_file, parse_task_file
from keiji_engine.builds.toml_reader import key_lines

COMPLETE = '''\
name = "backup"
description = "nightly dump"
tags = ["db"]
command = [
    "./backup.sh",  # executed directly
    "--full",
]
schedule = "0 3 * * *"
cwd = "/srv"
stdin = """
name = "not a key"
"""
ok_exit_codes = [0, 24]

[params]
day = ""
count = 3
[env]
PGHOST = "db1"
PORT = 5432
[policy]
timeout = "1h30m"
overlap = "queue"
retry = { tries = 3, delay = "10s" }
'''


def test_every_key_is_read() -> None:
    found = parse_task_file(COMPLETE)
    assert (found.name, found.description, found.tags) == ("backup", "nightly dump", ("db",))
    assert (found.kind, found.argv) == (TaskKind.COMMAND, ("./backup.sh", "--full"))
    assert found.schedule is not None
    assert found.schedule.source_form() == 'cron("0 3 * * *")'
    assert (found.cwd, found.stdin, found.ok_exit_codes) == ("/srv", 'name = "not a key"\n', (0, 24))
    assert found.env == {"PGHOST": "db1", "PORT": "5432"}
    assert [(each.name, each.default) for each in found.parameters] == [("day", ""), ("count", "3")]
    assert found.policy == Policy(timeout=5400, overlap=Overlap.QUEUE, retry=Retry(tries=3, delay=10))


def test_the_line_of_each_key_is_known() -> None:
    lines = key_lines(COMPLETE)
    assert (lines["command"], lines["schedule"], lines["stdin"], lines["ok_exit_codes"]) == (4, 8, 10, 13)
    assert (lines["params.day"], lines["env.PORT"], lines["policy"], lines["policy.retry"]) == (16, 20, 21, 24)
    assert lines["name"] == 1


def test_a_shell_line_is_executed_by_the_shell_that_is_named() -> None:
    assert parse_task_file('shell = "a | b"').argv == ("/bin/sh", "-c", "a | b")
    text = 'shell = "a | b"\nshell_program = ["/bin/bash", "-o", "pipefail"]'
    assert parse_task_file(text).argv == ("/bin/bash", "-o", "pipefail", "-c", "a | b")
    assert parse_task_file(text).kind is TaskKind.SHELL


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("nmae = 'x'", "line 2: unknown key 'nmae'; did you mean 'name'?"),
        ("color = 'x'", "line 2: unknown key 'color'; expected one of name, description, tags, command, shell,"),
        ("schedule = 'every fortnight'", "line 2: schedule: unknown schedule 'every fortnight'"),
        ("schedule = 5", "line 2: schedule: expected text or a list of texts, not 5"),
        ("schedule = ['@daily', 'evry day']", "line 2: schedule: schedule 2 of 2: "),
        ('schedule = ["hourly", "x y z"]', "line 2: schedule: schedule 2 of 2: unknown schedule 'x y z'"),
        ('schedule = ["hourly", "manual"]', "line 2: schedule: manual cannot be combined with other schedules"),
        ("cwd = 'srv'", "line 2: cwd = 'srv': expected an absolute path, or one that starts with ~/"),
        ("stdin = 5", "line 2: stdin = 5: expected text in quotes"),
        ("tags = 'db'", "line 2: tags = 'db': expected a list of texts"),
        ("name = 'a/b'", "line 2: 'a/b' contains a slash"),
        ("ok_exit_codes = []", "line 2: ok_exit_codes = []: expected a list of numbers from 0 to 255"),
        ("ok_exit_codes = [0, true]", "line 2: ok_exit_codes = [0, True]: expected a list of numbers"),
        ("shell = 'ls'", "line 2: shell is set, and command on line 1; keep one of them"),
        ("shell_program = '/bin/sh'", "line 2: shell_program is used with shell only"),
        ("policy = 5", "line 2: policy = 5: expected a table, [policy]"),
        ("[policy]\ntimeuot = 5", "line 3: unknown key 'timeuot' in [policy]; did you mean 'timeout'?"),
        ("[policy]\n\ntimeout = '5 apples'", "line 4: timeout='5 apples': expected a number of seconds from 0.001"),
        ("[policy]\noverlap = 'maybe'", "line 3: overlap='maybe': expected one of 'skip', 'queue', 'replace', 'allow'"),
        ("[policy]\nretry = 3", "line 3: retry = 3: expected a table, such as retry = { tries = 3"),
        ("[policy.retry]\ntries = 0", "line 3: tries=0: expected a whole number from 1 to 100"),
        ("[policy]\nretry = { trys = 1 }", "line 3: unknown key 'trys' in [policy.retry]; did you mean 'tries'?"),
        ("[env]\n'A B' = 'x'", "line 3: 'A B' in [env] is not a valid name"),
        ("[env]\nKEIJI_DUE = 'x'", "line 3: KEIJI_DUE in [env]: names that start with KEIJI_ are set by keiji"),
        ("[env]\nA = ['x']", "line 3: A = ['x']: expected text or a number"),
        ("[params]\nday = 1\nDAY = 2", "line 4: DAY and day in [params] differ only in case"),
        ("[params]\nd-y = 1", "line 3: 'd-y' in [params] is not a valid name"),
        ("cwd = ", "line 2: invalid value"),
        ("cwd = 'x'\ncwd = 'y'", "line 3: cannot overwrite a value"),
    ],
)
def test_a_mistake_is_reported_with_its_line(line: str, error: str) -> None:
    with pytest.raises(InvalidTaskFile) as caught:
        parse_task_file(f'command = ["ls"]\n{line}\n')
    assert caught.value.message.startswith(f"task.toml, {error}")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('command = "ls -l"', "task.toml, line 1: command: expected a list, such as command"),
        ("command = []", "task.toml, line 1: command is empty"),
        ('shell = " "', "task.toml, line 1: shell is empty"),
        ("[params]\nday = 1", "task.toml, line 1: params is set, but command or shell is not"),
        ('name = "a', "task.toml, at the end: unterminated string"),
        ("stdin = '''\n", "task.toml, at the end: "),
    ],
)
def test_a_mistake_in_the_command_is_reported(text: str, error: str) -> None:
    with pytest.raises(InvalidTaskFile) as caught:
        parse_task_file(text)
    assert caught.value.message.startswith(error)


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.lists(words.filter(str.strip), min_size=1), words)
def test_what_is_written_is_read_back(command: list[str], description: str) -> None:
    text = format_task_file(name="a", description=description, command=command, schedule="@daily", tags=["x"])
    assert tomllib.loads(text)["description"] == description
    assert parse_task_file(text).argv == tuple(command)
    assert key_lines(text)["schedule"] == 5
