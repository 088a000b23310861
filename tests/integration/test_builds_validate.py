"""Invalid sources fail the build with file, line and reason, and leave neither files nor processes behind."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keiji.errors import BuildFailed
from keiji_engine.builds import build_task, check_syntax, create_task_folder

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
VALID = "def function():\n    pass\n"
EVERY = "from keiji import every, on\ndef schedule():\n    return "


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "計時 'x'"
    create_task_folder(folder, "ping", "", schedule="every(10).seconds")
    return folder


async def _build_error(source: Path, timeout: float = 20.0, **environment: str) -> BuildFailed:
    builds = source.parent / "builds"
    inherited = {"PATH": os.environ["PATH"], **environment}
    with pytest.raises(BuildFailed) as failure:
        await build_task(source, builds, python=sys.executable, now=NOW, inherited=inherited, timeout=timeout)
    assert list(builds.iterdir()) == [], "a failed build leaves no files"
    return failure.value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def function():\n    pass\ndef f(:\n", "function.py, line 3: invalid syntax\n    def f(:"),
        ("def function():\npass\n", "function.py, line 2: expected an indented block after function definition"),
        ("x = '\0'\n", "function.py: cannot be compiled|function.py: source code string cannot contain null bytes"),
        ("# coding: nonsense\n", "function.py: unknown encoding: nonsense|function.py: encoding problem: nonsense"),
        ("x = " + "(" * 300 + ")" * 300, "function.py, line 1: too many nested parentheses"),
        ("x = " + "-" * 100_000 + "1", "function.py"),
        ("import nowhere\n" + VALID, "function.py, line 1: ModuleNotFoundError: No module named 'nowhere'\n    import"),
        ("\n1 / 0\n" + VALID, "function.py, line 2: ZeroDivisionError: division by zero\n    1 / 0"),
        (
            "import json\njson.loads('{')\n",
            "function.py, line 2: json.decoder.JSONDecodeError: Expecting property name",
        ),
        ("import sys\nsys.exit(3)\n", "function.py, line 2: the import raised SystemExit"),
        ("", "function.py: function() is missing or not callable; define it, for example: def function"),
        ("function = 3\n", "function.py: function() is missing or not callable"),
        (
            "\ndef function(a, b=1, *, c):\n    pass\n",
            "function.py, line 2: function() is called without arguments but requires a, c",
        ),
        ("def function():\n    yield 1\n", "function.py, line 1: function() contains a yield"),
        ("import os\nos._exit(7)\n", "importing function.py terminated the interpreter: exit code 7"),
        (
            "import os, signal\nprint('last words', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)\n",
            "function.py, line 3: importing function.py terminated the interpreter: killed by SIGSEGV\nlast words",
        ),
    ],
)
async def test_an_invalid_function_fails_the_build(source: Path, text: str, message: str) -> None:
    (source / "function.py").write_text(text)

    error = await _build_error(source)

    assert any(error.message.startswith(start) for start in message.split("|")), error.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import keiji\n\ndef schedule(:\n", "schedule.py, line 3: invalid syntax"),
        (EVERY + "every(0).seconds", "schedule.py, line 3: every(0): expected a whole number of at least 1"),
        (EVERY + "on.friday.at('25:00')", "schedule.py, line 3: at('25:00'): expected a time of day"),
        (EVERY + "evry(10).seconds", "schedule.py, line 3: NameError: name 'evry' is not defined"),
        (EVERY + "every(10)", "schedule.py, line 2: schedule() returned every(10) without a unit"),
        (
            EVERY + "on.friday",
            'schedule.py, line 2: schedule() returned on.friday without a time; use on.friday.at("22:00")',
        ),
        (EVERY + "None", "schedule.py, line 2: schedule() returned nothing; return every(10).seconds, for example"),
        (EVERY + "'daily'", "schedule.py, line 2: schedule() returned 'daily'; return every(10).seconds, for example"),
        (
            "",
            "schedule.py: schedule() is missing or not callable; define it, for example: def schedule(): return every(",
        ),
        (EVERY + "exit()", "schedule.py, line 3: NameError|schedule.py, line 3: schedule() raised SystemExit"),
        (EVERY + "__import__('sys').exit()", "schedule.py, line 3: schedule() raised SystemExit"),
        (
            "policy = {'timeout': 3}\n" + EVERY + "every(10).seconds",
            "schedule.py: policy must be a keiji.Policy, not {'timeout': 3}",
        ),
        (
            "from keiji import Policy\npolicy = Policy(timeout=-1)\n" + EVERY + "every(10).seconds",
            "schedule.py, line 2: Policy",
        ),
        (
            "from helper import f\nfrom keiji import every\ndef schedule():\n    return f()\n",
            "helper.py, line 2: ZeroDivisionError",
        ),
    ],
)
async def test_an_invalid_schedule_fails_the_build(source: Path, text: str, message: str) -> None:
    (source / "schedule.py").write_text(text)
    (source / "helper.py").write_text("def f():\n    return 1 / 0\n")

    error = await _build_error(source)

    assert any(error.message.startswith(start) for start in message.split("|")), error.message


async def test_a_syntax_error_in_any_file_fails_the_build_even_if_not_imported(source: Path) -> None:
    (source / "lib").mkdir()
    (source / "lib" / "later.py").write_text("x = 1\nx = = 2\n")

    assert (await _build_error(source)).message == "lib/later.py, line 2: invalid syntax\n    x = = 2"


async def test_the_function_is_never_called(source: Path, tmp_path: Path) -> None:
    (source / "function.py").write_text(f"def function():\n    open({str(tmp_path / 'called')!r}, 'w')\n")

    await build_task(source, tmp_path / "builds", python=sys.executable, now=NOW)

    assert not (tmp_path / "called").exists()


async def test_output_and_input_of_the_sources_do_not_affect_the_report(source: Path, tmp_path: Path) -> None:
    noise = (
        "import sys\nprint('{\"failed\": \"x\"}' * 10000)\nprint(1, file=sys.stderr)\nassert sys.stdin.read() == ''\n"
    )
    (source / "function.py").write_text(noise + VALID)

    built, _ = await build_task(source, tmp_path / "builds", python=sys.executable, now=NOW)

    assert built.schedule.describe() == "every 10 seconds"


async def test_a_thread_that_never_ends_does_not_block_the_build(source: Path, tmp_path: Path) -> None:
    (source / "function.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait).start()\n" + VALID
    )

    await build_task(source, tmp_path / "builds", python=sys.executable, now=NOW)


HANGS = {
    "waits": "import threading\nthreading.Event().wait()\n",
    "loops": "\nwhile True: pass\n",
    "in C code that holds the GIL": "import re\nre.match('(a*)*b', 'a' * 60)\n",
}


async def test_a_hanging_import_times_out_and_its_line_is_reported(tmp_path: Path) -> None:
    sources = [tmp_path / name / "ping" for name in HANGS]
    for source, hang in zip(sources, HANGS.values(), strict=True):
        create_task_folder(source, "ping", "")
        (source / "function.py").write_text(hang + VALID)

    errors = await asyncio.gather(*(_build_error(source, timeout=0.5) for source in sources))

    for name, error in zip(HANGS, errors, strict=True):
        assert error.message == "function.py, line 2: importing function.py did not finish within 0.5s", name
        assert "function()" in error.hint


async def test_processes_started_by_an_import_are_killed(source: Path) -> None:
    (source / "function.py").write_text(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import threading; threading.Event().wait(60)'])\n"
        "raise RuntimeError(child.pid)\n"
    )

    error = await _build_error(source)

    pid = int(error.message.splitlines()[0].rpartition(" ")[2])
    deadline = time.monotonic() + 10
    while _is_running(pid):
        assert time.monotonic() < deadline


def _is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_forked_process_cannot_write_the_report(source: Path) -> None:
    (source / "function.py").write_text("import os\nif os.fork():\n    os.wait()\n    os._exit(3)\n" + VALID)

    assert (await _build_error(source)).message == "importing function.py terminated the interpreter: exit code 3"


async def test_the_sources_are_validated_in_the_environment_of_a_run(source: Path) -> None:
    (source / ".env").write_text("TOKEN=secret\n")
    (source / "function.py").write_text(
        "import os\nshown = sorted(set(os.environ) & {'TOKEN', 'KEIJI_TASK', 'PYTHONPATH', 'DB_URL'})\n"
        "raise RuntimeError(shown, os.environ['KEIJI_TASK'])\n"
    )

    error = await _build_error(source, PYTHONPATH="/x", DB_URL="y")

    assert "RuntimeError: (['KEIJI_TASK', 'TOKEN'], \"計時 'x'\")" in error.message


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        ("keiji.py", "keiji"),
        ("queue.py", "Python's standard library"),
        ("token/__init__.py", "Python's standard library"),
        ("enum.pyc", ""),
        ("types/notes.txt", ""),
        ("lib/queue.py", ""),
    ],
)
async def test_a_module_that_hides_one_of_keiji_or_the_standard_library_is_refused(
    source: Path, tmp_path: Path, path: str, origin: str
) -> None:
    (source / path).parent.mkdir(exist_ok=True)
    (source / path).write_text("ITEMS = []\n")

    if origin:
        message = f"{Path(path).parts[0]}: has the name of a module of {origin}, which it would replace; rename it"
        assert (await _build_error(source)).message == message
    else:
        await build_task(source, tmp_path / "builds", python=sys.executable, now=NOW)


async def test_the_validation_uses_the_python_variables_of_the_env_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "team_tools.py").write_text("X = 1\n")
    (source / "function.py").write_text("import team_tools\n" + VALID)
    assert "No module named 'team_tools'" in (await _build_error(source, PYTHONPATH=str(tmp_path / "shared"))).message

    (source / ".env").write_text(f"PYTHONPATH='{tmp_path}/shared'\n")
    await build_task(source, tmp_path / "builds", python=sys.executable, now=NOW)


async def test_the_duration_of_the_import_is_measured(source: Path, tmp_path: Path) -> None:
    (source / "function.py").write_text("import threading\nthreading.Event().wait(0.05)\n" + VALID)

    built, _ = await build_task(source, tmp_path / "builds", python=sys.executable, now=NOW)

    assert 0.05 <= built.import_seconds < 5


def test_the_syntax_check_imports_nothing(source: Path) -> None:
    (source / "function.py").write_text("raise SystemExit\n")
    (source / "broken.py").write_text("x = 1\n\nif x\n    pass\n")
    (source / "notes.txt").write_text("if x\n")

    assert check_syntax(source, sys.executable, ["function.py", "notes.txt", "gone.py"]) == ""
    assert check_syntax(source, sys.executable, ["function.py", "broken.py"]) == "broken.py, line 3: expected ':'"
