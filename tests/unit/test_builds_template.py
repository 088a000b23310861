"""A new task is created from the template."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import keiji
from keiji.errors import KeijiError, TaskExists
from keiji.records import TaskKind
from keiji.schedule import to_schedule
from keiji_engine.builds import create_task_folder, read_details, read_env, read_task_file
from keiji_engine.builds.task_file import TaskDetails

NAMES = ["ping_google", 'it\'s [x] "y" #1 = 50%', "計時 é", "$(id) `id`", "a" * 100]


@pytest.mark.parametrize("name", NAMES)
def test_a_new_task_has_five_files_and_its_name_in_task_toml(tmp_path: Path, name: str) -> None:
    target = tmp_path / "tasks" / "new"

    create_task_folder(target, name, "first\nsecond 'x'")

    assert sorted(file.name for file in target.iterdir()) == [
        ".env",
        "function.py",
        "main.py",
        "schedule.py",
        "task.toml",
    ]
    task_file = read_task_file(target)
    assert task_file is not None
    assert (task_file.name, task_file.description, task_file.kind) == (name, "first second 'x'", TaskKind.PYTHON)
    assert read_env(target) == {}
    assert (target / ".env").stat().st_mode & 0o077 == 0, "it may contain secrets"
    assert [file.name for file in target.parent.iterdir()] == ["new"]


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "new"
    create_task_folder(target, "new", "")
    (target / "function.py").write_text("mine")

    with pytest.raises(TaskExists, match="already exists"):
        create_task_folder(target, "new", "")
    assert (target / "function.py").read_text() == "mine"


def test_force_replaces_the_sources_and_keeps_secrets_and_other_files(tmp_path: Path) -> None:
    target = tmp_path / "new"
    create_task_folder(target, "new", "old description")
    original = (target / "function.py").read_text()
    (target / "function.py").write_text("mine")
    (target / "extra.py").write_text("mine, too")
    with (target / ".env").open("a") as env:
        env.write("NAME=old\nTOKEN='s3 # cret'\n")

    create_task_folder(target, "New", "new description", force=True)

    assert (target / "function.py").read_text() == original
    assert (target / "extra.py").read_text() == "mine, too"
    assert read_details(target) == TaskDetails("New", "new description", "task.toml")
    assert read_env(target) == {"TOKEN": "s3 # cret"}


def test_a_file_with_the_name_of_the_folder_is_not_modified(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("mine")

    with pytest.raises(TaskExists):
        create_task_folder(tmp_path / "new", "new", "")
    with pytest.raises(KeijiError, match="cannot be written"):
        create_task_folder(tmp_path / "new", "new", "", force=True)
    assert (tmp_path / "new").read_text() == "mine"


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(KeijiError, match="cannot be written"):
        create_task_folder(tmp_path / "file" / "new", "new", "")


def _run_main(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(folder / "main.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, timeout=30)


def test_main_runs_the_task_with_the_values_of_its_env(tmp_path: Path) -> None:
    target = tmp_path / "tasks" / "a b 'c'"
    create_task_folder(target, "new", "")
    untouched = _run_main(target, "--run")
    (target / "function.py").write_text("import os\ndef function():\n    print(os.environ['TOKEN'])\n    return 3\n")
    with (target / ".env").open("a") as env:
        env.write("TOKEN=secret\n")
    with (target / "task.toml").open("a") as task_file:
        task_file.write("[env]\nTOKEN = 'overridden by .env'\n")
    edited = _run_main(target, "--run")

    assert (untouched.returncode, untouched.stdout, untouched.stderr) == (0, "hello from keiji\n", "")
    assert (edited.returncode, edited.stdout, edited.stderr) == (3, "secret\n", "")


def test_main_runs_the_task_with_parameters(tmp_path: Path) -> None:
    create_task_folder(tmp_path / "new", "new", "")
    function = "def function(n: int = 1, name: str = ''):\n    print(repr(n), repr(name))\n"
    (tmp_path / "new" / "function.py").write_text(function)

    assert _run_main(tmp_path / "new", "--run", "n=41", "name=a=b 'c'").stdout == "41 \"a=b 'c'\"\n"
    invalid = _run_main(tmp_path / "new", "--run", "n=x")
    assert (invalid.returncode, invalid.stderr) == (2, "function(): n=x: expected a whole number\n")


def test_main_shows_the_schedule_in_the_zone_of_the_workspace(tmp_path: Path) -> None:
    target = tmp_path / "tasks" / "new"
    create_task_folder(target, "new", "")
    (tmp_path / "settings.conf").write_text("TIME_ZONE=Africa/Nairobi\n")
    (target / "schedule.py").write_text('from keiji import on\ndef schedule():\n    return on.friday.at("10:00PM")\n')

    shown = _run_main(target, "--schedule").stdout.splitlines()

    assert shown[0] == "Fridays at 22:00"
    assert len(shown) == 6
    assert all(line.startswith("Fri ") and line.endswith(" 22:00:00 EAT") for line in shown[1:])


def test_main_shows_its_usage(tmp_path: Path) -> None:
    create_task_folder(tmp_path / "new", "new", "")

    completed = _run_main(tmp_path / "new", "--unknown")

    assert completed.returncode == 2
    assert completed.stderr.startswith(
        "usage: python main.py --run [NAME=VALUE…] (run the task) or python main.py --schedule"
    )


@pytest.mark.parametrize(
    ("schedule", "error"),
    [
        (
            "every(5).minutes",
            "schedule.py, line 2: schedule() returned nothing; return every(10).seconds, for example\n",
        ),
        ("return every(5)", "schedule.py, line 2: schedule() returned every(5) without a unit"),
        ("return every(0).minutes", "schedule.py, line 3: every(0)"),
        ("return 1 / 0", "schedule.py, line 3: ZeroDivisionError: division by zero\n    return 1 / 0\n"),
    ],
)
def test_main_shows_why_a_schedule_is_invalid(tmp_path: Path, schedule: str, error: str) -> None:
    create_task_folder(tmp_path / "new", "new", "")
    (tmp_path / "new" / "schedule.py").write_text(f"from keiji import *\ndef schedule():\n    {schedule}\n")

    completed = _run_main(tmp_path / "new", "--schedule")

    assert (completed.returncode, completed.stdout) == (1, "")
    assert completed.stderr.startswith(error)


def test_the_commented_examples_of_the_template_work(tmp_path: Path) -> None:
    create_task_folder(tmp_path / "new", "new", "")
    schedule = tmp_path / "new" / "schedule.py"
    text = schedule.read_text()
    assert _run_main(tmp_path / "new", "--schedule").stdout == "manual\n"
    text = text.replace("    return manual\n", "")
    examples = re.findall("    # (return .+)\n", text)
    assert len(examples) > 5
    for example in examples:
        to_schedule(eval(example.removeprefix("return "), vars(keiji)))  # raises if it is none
    for example in ('return on.friday.at("10:00PM")', "policy = Policy("):
        assert f"# {example}" in text
        text = text.replace(f"# {example}", example)
    schedule.write_text(text)

    assert _run_main(tmp_path / "new", "--schedule").stdout.startswith("Fridays at 22:00\n")


@pytest.fixture
def foreign(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a task's main.py by an interpreter without keiji; ``keiji`` in PATH has the given text."""
    folder, commands = tmp_path / "ping", tmp_path / "it's bin"
    create_task_folder(folder, "ping", "")
    (folder / "function.py").write_text("import os, sys\ndef function():\n    print(os.environ['X'])\n    return 3\n")
    with (folder / ".env").open("a") as env:
        env.write("X='from .env'\n")
    commands.mkdir()

    def run(script: str) -> subprocess.CompletedProcess[str]:
        if script:
            (commands / "keiji").write_text(script)
            (commands / "keiji").chmod(0o755)
        command = [sys.executable, "-I", "-S", str(folder / "main.py"), "--run"]
        environment = {"PATH": str(commands)}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd="/")

    return run


@pytest.mark.parametrize(
    "script",
    [
        f"#!{sys.executable}\nimport sys\n",
        f"#!{sys.executable} -sE\nimport sys\n",
        f"#!/bin/sh\n'''exec' {sys.executable} \"$0\" \"$@\"\n' '''\nimport sys\n",
        f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\nimport sys\n",
    ],
)
def test_main_py_uses_the_interpreter_of_the_keiji_command_if_its_own_does_not_have_keiji(
    foreign: Callable[[str], subprocess.CompletedProcess[str]], script: str
) -> None:
    completed = foreign(script)

    assert (completed.returncode, completed.stdout, completed.stderr) == (3, "from .env\n", "")


def test_main_py_uses_the_interpreter_next_to_the_keiji_command_that_a_link_leads_to(
    foreign: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    environment = tmp_path / "venv" / "bin"
    environment.mkdir(parents=True)
    (environment / "keiji").write_text("#!/bin/sh\nexec something else\n")
    (environment / "keiji").chmod(0o755)
    (environment / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (environment / "python").chmod(0o755)
    (tmp_path / "it's bin" / "keiji").symlink_to(environment / "keiji")

    assert foreign("").stdout == "from .env\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("", "keiji is neither installed for .*python.* nor in PATH"),
        ("#!/nowhere/python\n", "keiji is not installed for .*, and the interpreter of .*/keiji cannot be found"),
        ("\0binary", "keiji is not installed for .*, and the interpreter of .*/keiji cannot be found"),
    ],
)
def test_main_py_without_keiji_says_so(
    foreign: Callable[[str], subprocess.CompletedProcess[str]], script: str, message: str
) -> None:
    completed = foreign(script)

    assert completed.returncode == 1
    assert re.fullmatch(message + "\n", completed.stderr)


def test_main_py_uses_the_python_variables_of_the_env_file(tmp_path: Path) -> None:
    (tmp_path / "team_tools.py").write_text("NAME = 'team'\n")
    folder = tmp_path / "ping"
    create_task_folder(folder, "ping", "")
    (folder / "function.py").write_text(
        "def function():\n    import team_tools\n    print(team_tools.NAME, __debug__)\n    return 4\n"
    )
    with (folder / ".env").open("a") as env:
        env.write(f"PYTHONPATH='{tmp_path}'\nPYTHONOPTIMIZE=1\n")
    command = [sys.executable, "-B", str(folder / "main.py"), "--run"]

    completed = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")

    assert (completed.returncode, completed.stdout, completed.stderr) == (4, "team False\n", "")
