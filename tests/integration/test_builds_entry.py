"""What the interpreter of a run is given: it calls the function, and its end is the function's end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keiji_engine.builds import entry

Runs = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Runs:
    folder = tmp_path / "build é 'x'"
    (folder / "src").mkdir(parents=True)
    (folder / "entry.py").write_text(Path(entry.__file__).read_text())

    def run(function: str) -> subprocess.CompletedProcess[str]:
        (folder / "src" / "function.py").write_text(function)
        command = [sys.executable, "-I", "-B", "-u", "-X", "utf8", str(folder / "entry.py"), "--run"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env={}, cwd="/")

    return run


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("pass", 0),
        ("return 0", 0),
        ("return 3", 3),
        ("return 256", 1),
        ("return -1", 1),
        ("return True", 0),
        ("return 'done'", 0),
        ("import sys; sys.exit(5)", 5),
        ("import sys; sys.exit()", 0),
        ("raise ValueError", 1),
        ("raise BaseException", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("raise KeyboardInterrupt", -signal.SIGINT),
    ],
)
def test_the_end_of_the_function_is_the_end_of_the_run(run: Runs, body: str, code: int) -> None:
    assert run(f"def function():\n    {body}\n").returncode == code


def test_the_traceback_is_the_authors_own(run: Runs, tmp_path: Path) -> None:
    ran = run(
        "def function():\n    try:\n        {}['key']\n    except KeyError:\n        helper()\n"
        "\ndef helper():\n    1 / 0\n"
    )

    lines = [line.strip() for line in ran.stderr.splitlines() if not set(line.strip()) & set("^")]
    file = tmp_path / "build é 'x'" / "src" / "function.py"
    assert ran.returncode == 1
    assert lines == [
        "Traceback (most recent call last):",
        f'File "{file}", line 3, in function',
        "{}['key']",
        "KeyError: 'key'",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        f'File "{file}", line 5, in function',
        "helper()",
        f'File "{file}", line 8, in helper',
        "1 / 0",
        "ZeroDivisionError: division by zero",
    ]


def test_an_import_that_fails_is_shown_as_the_authors_own(run: Runs) -> None:
    ran = run("import nowhere\n")

    assert ran.returncode == 1
    assert "entry.py" not in ran.stderr
    assert "line 1, in <module>" in ran.stderr
    assert ran.stderr.endswith("ModuleNotFoundError: No module named 'nowhere'\n")


def test_an_error_that_is_returned_fails_the_run(run: Runs) -> None:
    ran = run("def function():\n    return OSError('no route to host')\n")

    assert (ran.returncode, ran.stderr) == (1, "function() returned OSError: no route to host\n")


def test_an_async_function_is_run_to_its_end(run: Runs) -> None:
    ran = run("import asyncio\nasync def function():\n    await asyncio.sleep(0)\n    print('done')\n    return 4\n")

    assert (ran.returncode, ran.stdout) == (4, "done\n")


def test_a_hook_of_the_author_sees_the_error(run: Runs) -> None:
    ran = run(
        "import sys\nsys.excepthook = lambda kind, *_: print('seen', kind.__name__)\ndef function():\n    1 / 0\n"
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "seen ZeroDivisionError\n", "")


def test_processes_of_the_authors_own_work(run: Runs) -> None:
    ran = run(
        "import multiprocessing\n"
        "def work(conn):\n    conn.send('from a process')\n"
        "def function():\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    here, there = context.Pipe()\n"
        "    child = context.Process(target=work, args=(there,))\n"
        "    child.start(); print(here.recv()); child.join()\n"
    )

    assert (ran.stdout, ran.stderr, ran.returncode) == ("from a process\n", "", 0)


def test_it_is_light_enough_to_start_every_second(run: Runs) -> None:
    ran = run("import sys\nbefore = set(sys.modules)\ndef function():\n    print(*before)\n")

    assert not {"asyncio", "json", "pathlib", "traceback", "keiji"} & set(ran.stdout.split())


def test_standard_error_is_the_only_place_for_usage(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, entry.__file__, "--fly"], capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", entry.USAGE + os.linesep)
