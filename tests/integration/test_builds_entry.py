"""The entry script of a build calls the function and exits according to its result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keiji_engine.builds import entry

Run = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
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
def test_the_result_of_the_function_determines_the_exit_code(run: Run, body: str, code: int) -> None:
    assert run(f"def function():\n    {body}\n").returncode == code


def test_the_traceback_contains_only_frames_of_the_sources(run: Run, tmp_path: Path) -> None:
    result = run(
        "def function():\n    try:\n        {}['key']\n    except KeyError:\n        helper()\n"
        "\ndef helper():\n    1 / 0\n"
    )

    lines = [line.strip() for line in result.stderr.splitlines() if not set(line.strip()) & set("^")]
    file = tmp_path / "build é 'x'" / "src" / "function.py"
    assert result.returncode == 1
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


def test_the_traceback_of_a_failed_import_contains_only_frames_of_the_sources(run: Run) -> None:
    result = run("import nowhere\n")

    assert result.returncode == 1
    assert "entry.py" not in result.stderr
    assert "line 1, in <module>" in result.stderr
    assert result.stderr.endswith("ModuleNotFoundError: No module named 'nowhere'\n")


def test_a_returned_exception_fails_the_run(run: Run) -> None:
    result = run("def function():\n    return OSError('no route to host')\n")

    assert (result.returncode, result.stderr) == (1, "function() returned OSError: no route to host\n")


def test_an_async_function_is_awaited(run: Run) -> None:
    result = run("import asyncio\nasync def function():\n    await asyncio.sleep(0)\n    print('done')\n    return 4\n")

    assert (result.returncode, result.stdout) == (4, "done\n")


def test_an_excepthook_of_the_sources_is_called(run: Run) -> None:
    result = run(
        "import sys\nsys.excepthook = lambda kind, *_: print('seen', kind.__name__)\ndef function():\n    1 / 0\n"
    )

    assert (result.returncode, result.stdout, result.stderr) == (1, "seen ZeroDivisionError\n", "")


def test_multiprocessing_works(run: Run) -> None:
    result = run(
        "import multiprocessing\n"
        "def work(conn):\n    conn.send('from a process')\n"
        "def function():\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    receiver, sender = context.Pipe()\n"
        "    child = context.Process(target=work, args=(sender,))\n"
        "    child.start(); print(receiver.recv()); child.join()\n"
    )

    assert (result.stdout, result.stderr, result.returncode) == ("from a process\n", "", 0)


def test_the_entry_script_imports_few_modules(run: Run) -> None:
    result = run("import sys\nbefore = set(sys.modules)\ndef function():\n    print(*before)\n")

    assert not {"asyncio", "json", "pathlib", "traceback", "keiji"} & set(result.stdout.split())


def test_usage_is_printed_to_standard_error(tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, entry.__file__, "--unknown"], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout, result.stderr) == (2, "", entry.USAGE + os.linesep)
