"""The recipes of docs/cookbook.md: their own commands and files, in their order, as a user types them.

Blocks of the page have a meaning: ``sh`` has commands, ``console`` has commands with what they show, and every other
block is the file that the paragraph before it names. ``…`` stands for any text.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import command_line
import pytest
from e2e.shell import Shell
from installation import until

from keiji.policy import Policy
from keiji.schedule import EPOCH, Schedule
from keiji.schedule.parse import parse_schedule
from keiji_engine.builds.task_file import read_task_file

PAGE = (Path(__file__).parents[2] / "docs" / "cookbook.md").read_text()
RECIPES = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
USER_HOME = "/home/you"
# They do what the recipes say of the real ones, which may be missing.
PROGRAMS = {
    "pg_dump": 'echo "pg_dump: error: could not translate host name \\"$PGHOST\\"" >&2; exit 1',
    "rsync": '[ "$*" = "-a --delete $HOME/documents/ nas:/backup/" ] || exit 1\n'
    'echo "file has vanished: \\"$HOME/documents/.#notes\\"" >&2; exit 24',
    "certbot": '[ "$5" = "" ] && [ "$4" = "systemctl reload nginx" ]',
    "curl": 'echo "curl: (22) The requested URL returned error: 503" >&2; exit 22',
    "node": '[ -x "$1" ] && grep -q console.log "$1" && echo "usage, attempt $KEIJI_ATTEMPT"',
    "ssh": "exit 1",
    "sqlite3": "exit 0",
}


@pytest.fixture(scope="module")
def cook(tmp_path_factory: pytest.TempPathFactory, initialized_root: Path) -> Iterator[Shell]:
    """A shell with a running engine, a home folder with a few files, and the programs of the recipes."""
    folder = tmp_path_factory.mktemp("cook")
    home, programs = folder / "home", folder / "programs"
    for each in (home / "documents", home / "tmp", programs):
        each.mkdir(parents=True)
    (home / "documents" / "notes").write_text("notes")
    for name in ("old.txt", "new.txt"):
        (home / "tmp" / name).touch()
    os.utime(home / "tmp" / "old.txt", (0, 0))
    for name, script in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    shell = Shell(folder / "root")
    shutil.copytree(initialized_root, shell.paths.data)
    (home / "keiji").symlink_to(shell.paths.workspace)
    settings = shell.paths.settings.read_text()
    shell.paths.settings.write_text(re.sub(r"^TIME_ZONE=.*$", "TIME_ZONE=Africa/Nairobi", settings, flags=re.MULTILINE))
    shell.environment |= {"COLUMNS": "250", "HOME": str(home), "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin"}
    shell("system start")
    yield shell
    shell.close()


@pytest.mark.parametrize("title", [title for title, text in RECIPES.items() if "```" in text])
def test_a_recipe_does_what_it_says(cook: Shell, title: str) -> None:
    home = cook.environment["HOME"]
    text = RECIPES[title].replace(USER_HOME, home)
    for before, language, block in re.findall(r"(.*?)^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if (file := named_file(before)) is not None:
            path = Path(file.replace("~", home))
            if path.name == "task.toml":
                check_task_file(path.read_text(), block, is_edited="This is" not in before)
            path.write_text(block)
        elif language == "console":
            for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
                wait_for_output(cook, command, expected)
        else:
            assert language == "sh"
            for command in block.splitlines():
                type_command(cook, command)


def named_file(paragraphs: str) -> str | None:
    """Return the file that the paragraph before a block names: the last one, if the paragraph ends with a colon."""
    paragraph = paragraphs.rstrip().rpartition("\n\n")[2]
    files = re.findall(r"`(~/[^`]*\.\w+)`", paragraph)
    return files[-1] if files and paragraph.endswith(":") else None


def check_task_file(created: str, shown: str, *, is_edited: bool) -> None:
    """Check that the task.toml of the page is the one that the command has written, with additions if it is edited."""
    if not is_edited:
        assert shown == created
    lines = iter(shown.splitlines())
    assert all(line in lines for line in created.splitlines()), f"{shown}\ndoes not extend\n{created}"


def type_command(shell: Shell, command: str) -> str:
    """Run a command; return what it prints. A command that fails has to print why."""
    expanded = subprocess.run(
        ["/bin/sh", "-c", f"keiji() {{ printf '%s\\0' keiji \"$@\"; }}\n{command}"],
        env=shell.environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    words = expanded.split("\0")[:-1]
    if words[:1] != ["keiji"]:
        return expanded
    result = command_line.run_command(*words[1:], environment=shell.environment)
    assert "Traceback" not in result.stderr
    assert result.code == 0 or "dya=" in command, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout + result.stderr


def wait_for_output(shell: Shell, command: str, expected: str) -> None:
    """Wait until the output of a command has the expected lines, in this order, whatever the times are."""
    output = ""

    def matches() -> bool:
        nonlocal output
        output = type_command(shell, command)
        lines = iter([without_times(line) for line in output.splitlines()])
        return all(any(pattern(line).fullmatch(each) for each in lines) for line in expected.splitlines())

    try:
        until(matches, timeout=10)
    except AssertionError:
        raise AssertionError(f"{command} shows\n{output}\ninstead of\n{expected}") from None


def pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part.strip()) for part in without_times(line).split("…")))


def without_times(line: str) -> str:
    """Return a line without what differs between two runs: instants, durations, ids of runs, widths of columns."""
    line = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b", "INSTANT", line)
    line = re.sub(r"\b\d+\.\d+s\b", "DURATION", line)
    line = re.sub(r"\brun=\w+", "run=ID", line)
    return " ".join(line.split())


ROWS = re.findall(r"^\| `(.*?)` \| `(.*)` \|$", RECIPES["A whole crontab"], re.MULTILINE)


ON_MONDAYS = "[ $(date +%u) = 1 ] && "


def test_the_lines_of_a_crontab_are_due_and_run_as_before(cook: Shell) -> None:
    assert len(ROWS) == 30
    for line, arguments in ROWS:
        name, *options = shlex.split(arguments)
        cook.run("task", "create", name, *options)
        task_file = read_task_file(cook.paths.source(name))
        assert task_file is not None
        assert task_file.schedule is not None
        timing, command = re.fullmatch(r"(@\w+|(?:\S+ ){4}\S+) (.*)", line).groups()  # type: ignore[union-attr]
        command = command.replace(r"\%", "%")
        # What a task need not say: where its output goes, that it does not overlap, and what the schedule says.
        for unnecessary in (" > /dev/null 2>&1", "flock -n /tmp/l ", ON_MONDAYS):
            command = command.replace(unnecessary, "")
        folder, command = re.fullmatch(r"(?:cd (\S+) && )?(.*)", command).groups()  # type: ignore[union-attr]
        assert task_file.cwd == (folder or ""), line
        assert task_file.argv in (tuple(shlex.split(command)), ("/bin/sh", "-c", command)), line
        schedule = parse_schedule(timing)
        assert task_file.schedule.events == schedule.events, line
        assert instants(task_file.schedule) == instants(schedule, only_mondays=ON_MONDAYS in line.replace("\\", "")), (
            line
        )


def instants(schedule: Schedule, *, only_mondays: bool = False) -> list[datetime]:
    """Return the first instants of a schedule in a zone that has no daylight saving."""
    schedule = schedule.with_context(Policy().schedule_context(anchor=EPOCH, zone="Africa/Nairobi"))

    def generate() -> Iterator[datetime]:
        moment = EPOCH
        while (found := schedule.next_after(moment)) is not None:
            moment = found
            if not only_mondays or (moment + timedelta(hours=3)).weekday() == 0:
                yield moment

    return list(itertools.islice(generate(), 12))
