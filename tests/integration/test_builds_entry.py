"""The entry script of a build calls the function and exits according to its result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keiji.reasons import render
from keiji_engine.builds import entry
from keiji_engine.runner import failure

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = tmp_path / "build é 'x'"
    (folder / "src").mkdir(parents=True)
    (folder / "entry.py").write_text(Path(entry.__file__).read_text())

    def run(function: str, report_fd: int | None = None) -> subprocess.CompletedProcess[str]:
        (folder / "src" / "function.py").write_text(function)
        command = [sys.executable, "-I", "-B", "-u", "-X", "utf8", str(folder / "entry.py"), "--run"]
        environment = {} if report_fd is None else {failure.VARIABLE: str(report_fd)}
        inherited = () if report_fd is None else (report_fd,)
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env=environment,
            cwd="/",
            pass_fds=inherited,
        )

    return run


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("pass", 0),
        ("return 0", 0),
        ("return 3", 3),
        ("return 256", 1),
        ("return 512", 1),
        ("return -1", 255),
        ("return 10**30", 1),
        ("return True", 0),
        ("import enum; return enum.IntEnum('Code', {'BAD': 4}).BAD", 4),
        ("return 'done'", 0),
        ("import sys; sys.exit(5)", 5),
        ("import sys; sys.exit()", 0),
        ("import sys; sys.exit(True)", 1),
        ("import sys; sys.exit(256)", 1),
        ("import sys; sys.exit(-1)", 255),
        ("import sys; sys.exit(2.5)", 1),
        ("import sys; sys.exit(('no', 'host'))", 1),
        ("raise SystemExit", 0),
        ("raise type('Quit', (SystemExit,), {})(7)", 7),
        ("raise BaseExceptionGroup('several', [ValueError(), SystemExit(0)])", 1),
        ("raise GeneratorExit", 1),
        ("import asyncio; raise asyncio.CancelledError", 1),
        ("error = ValueError('boom'); error.add_note('a note'); raise error", 1),
        ("raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})", 1),
        ("import sys; sys.excepthook = lambda *_: sys.exit(0); raise ValueError", 1),
        ("import sys; sys.stderr.close(); raise ValueError", 1),
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


@pytest.mark.parametrize(
    "body",
    [
        "class Later:\n    def __await__(self):\n        yield from asyncio.sleep(0).__await__()\n        return 4\n"
        "def function():\n    return Later()\n",
        "async def work():\n    return 4\nasync def function():\n    return work()\n",
        "async def work():\n    return 4\ndef function():\n    return asyncio.new_event_loop().create_task(work())\n",
        "import types\n@types.coroutine\ndef function():\n    yield from asyncio.sleep(0).__await__()\n    return 4\n",
        "async def function():\n    raise SystemExit(4)\n",
    ],
    ids=["object", "nested", "task", "generator", "exit"],
)
def test_any_awaitable_is_awaited(run: Run, body: str) -> None:
    assert run("import asyncio\n" + body).returncode == 4


def test_the_argument_of_system_exit_is_printed_to_standard_error(run: Run) -> None:
    assert run("import sys\ndef function():\n    sys.exit('no such host')\n").stderr == "no such host\n"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("def function():\n    raise ValueError('boom')\n", "exit code 1: ValueError: boom (function.py:2)"),
        ("import helper\nfunction = helper.fail\n", "exit code 1: ZeroDivisionError: division by zero (helper.py:2)"),
        ("import json\ndef function():\n    json.loads('{')\n", "(function.py:3)"),
        ("import nowhere\n", "exit code 1: ModuleNotFoundError: No module named 'nowhere' (function.py:1)"),
        ("def function(:\n", "exit code 1: SyntaxError: invalid syntax (function.py, line 1) (function.py:1)"),
        ("def function():\n    return OSError('no route')\n", "exit code 1: OSError: no route"),
        ("import sys\ndef function():\n    sys.exit('no \\033[1mhost')\n", "exit code 1: no host"),
        (
            "def one():\n    raise ValueError('a')\n"
            "def function():\n"
            "    try:\n        one()\n"
            "    except ValueError as error:\n        raise ExceptionGroup('two', [error, KeyError('b')])\n",
            "exit code 1: ExceptionGroup: two (2 sub-exceptions) (function.py:7); ValueError: a (function.py:2); "
            "KeyError: 'b'",
        ),
        ("def function():\n    error = ValueError('x\\ny\\0z')\n    error.add_note('n')\n    raise error\n", "x y z"),
        ("def function():\n    raise ValueError('é' * 100_000)\n", "…"),
    ],
)
def test_the_exception_is_reported(run: Run, tmp_path: Path, function: str, expected: str) -> None:
    (tmp_path / "build é 'x'" / "src" / "helper.py").write_text("def fail():\n    1 / 0\n")
    report, report_write = os.pipe()
    with open(report, "rb") as reading:  # noqa: PTH123  # it is a descriptor
        run(function, report_write)
        os.close(report_write)
        why = failure.parse_report(reading.read(), 1)
    assert why is not None
    assert render(why).endswith(expected) or f"{expected} (" in render(why)


def test_the_sources_and_their_processes_do_not_see_the_descriptor_of_the_report(run: Run) -> None:
    report, report_write = os.pipe()
    result = run(
        "import os, subprocess\ndef function():\n"
        "    print('KEIJI_FAILURE_FD' in os.environ, flush=True)\n"
        f"    subprocess.run(['/bin/sh', '-c', 'echo >&{report_write}'], close_fds=False)\n",
        report_write,
    )
    os.close(report)
    os.close(report_write)
    assert result.stdout == "False\n"
    assert "bad f" in result.stderr.lower()  # "bad fd number" or "bad file descriptor"


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

    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        entry.USAGE.format(program=entry.__file__) + "\n",
    )
