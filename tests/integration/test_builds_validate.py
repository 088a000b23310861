"""The gate: what does not work is refused with file, line and reason, and nothing gets past it or stays behind it."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keiji.errors import BuildFailed
from keiji_engine.builds import build, check_syntax, create

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
GOOD = "def function():\n    pass\n"
EVERY = "from keiji import every, on\ndef schedule():\n    return "


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "計時 'x'"
    create(folder, "ping", "")
    return folder


async def _refusal(source: Path, limit: float = 20.0, **environment: str) -> BuildFailed:
    builds = source.parent / "builds"
    inherited = {"PATH": os.environ["PATH"], **environment}
    with pytest.raises(BuildFailed) as failure:
        await build(source, builds, python=sys.executable, now=NOW, inherited=inherited, limit=limit)
    assert list(builds.iterdir()) == [], "a build that failed leaves nothing"
    return failure.value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def function():\n    pass\ndef f(:\n", "function.py, line 3: invalid syntax\n    def f(:"),
        ("def function():\npass\n", "function.py, line 2: expected an indented block after function definition"),
        ("x = '\0'\n", "function.py: it cannot be compiled|function.py: source code string cannot contain null bytes"),
        ("# coding: nonsense\n", "function.py: unknown encoding: nonsense|function.py: encoding problem: nonsense"),
        ("x = " + "(" * 300 + ")" * 300, "function.py, line 1: too many nested parentheses"),
        ("x = " + "-" * 100_000 + "1", "function.py"),
        ("import nowhere\n" + GOOD, "function.py, line 1: ModuleNotFoundError: No module named 'nowhere'\n    import"),
        ("\n1 / 0\n" + GOOD, "function.py, line 2: ZeroDivisionError: division by zero\n    1 / 0"),
        (
            "import json\njson.loads('{')\n",
            "function.py, line 2: json.decoder.JSONDecodeError: Expecting property name",
        ),
        ("import sys\nsys.exit(3)\n", "function.py, line 2: it ends the program while it is imported"),
        ("", "function.py: it has no function function(); it needs one: def function"),
        ("function = 3\n", "function.py: it has no function function()"),
        (
            "\ndef function(a, b=1, *, c):\n    pass\n",
            "function.py, line 2: function() is called without arguments, but asks for a, c",
        ),
        ("def function():\n    yield 1\n", "function.py, line 1: function() has a yield in it"),
        ("import os\nos._exit(7)\n", "importing function.py ended the interpreter: exit code 7"),
        (
            "import os, signal\nprint('last words', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)\n",
            "function.py, line 3: importing function.py ended the interpreter: killed by SIGSEGV\nlast words",
        ),
    ],
)
async def test_a_function_that_cannot_run_is_refused(source: Path, text: str, message: str) -> None:
    (source / "function.py").write_text(text)

    failure = await _refusal(source)

    assert any(failure.message.startswith(each) for each in message.split("|")), failure.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import keiji\n\ndef schedule(:\n", "schedule.py, line 3: invalid syntax"),
        (EVERY + "every(0).seconds", "schedule.py, line 3: every(0): expected a whole number of at least 1"),
        (EVERY + "on.friday.at('25:00')", "schedule.py, line 3: at('25:00'): expected a time of day"),
        (EVERY + "evry(10).seconds", "schedule.py, line 3: NameError: name 'evry' is not defined"),
        (EVERY + "every(10)", "schedule.py, line 2: schedule() returned every(10), but not of what: every(10).seconds"),
        (
            EVERY + "on.friday",
            'schedule.py, line 2: schedule() returned on.friday without a time: on.friday.at("22:00")',
        ),
        (EVERY + "None", "schedule.py, line 2: schedule() returned nothing; return every(10).seconds, for example"),
        (EVERY + "'daily'", "schedule.py, line 2: schedule() returned 'daily'; return every(10).seconds, for example"),
        ("", "schedule.py: it has no function schedule(); it needs one: def schedule(): return every(10).seconds"),
        (EVERY + "exit()", "schedule.py, line 3: NameError|schedule.py, line 3: schedule() ends the program"),
        (EVERY + "__import__('sys').exit()", "schedule.py, line 3: schedule() ends the program"),
        (
            "policy = {'timeout': 3}\n" + EVERY + "every(10).seconds",
            "schedule.py: policy is {'timeout': 3}; it is to be a Policy",
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
async def test_a_schedule_that_cannot_be_followed_is_refused(source: Path, text: str, message: str) -> None:
    (source / "schedule.py").write_text(text)
    (source / "helper.py").write_text("def f():\n    return 1 / 0\n")

    failure = await _refusal(source)

    assert any(failure.message.startswith(each) for each in message.split("|")), failure.message


async def test_a_syntax_error_anywhere_is_found_before_it_is_imported(source: Path) -> None:
    (source / "lib").mkdir()
    (source / "lib" / "later.py").write_text("x = 1\nx = = 2\n")

    assert (await _refusal(source)).message == "lib/later.py, line 2: invalid syntax\n    x = = 2"


async def test_the_function_is_never_called(source: Path, tmp_path: Path) -> None:
    (source / "function.py").write_text(f"def function():\n    open({str(tmp_path / 'called')!r}, 'w')\n")

    await build(source, tmp_path / "builds", python=sys.executable, now=NOW)

    assert not (tmp_path / "called").exists()


async def test_what_the_author_prints_or_reads_confuses_nobody(source: Path, tmp_path: Path) -> None:
    noise = (
        "import sys\nprint('{\"failed\": \"x\"}' * 10000)\nprint(1, file=sys.stderr)\nassert sys.stdin.read() == ''\n"
    )
    (source / "function.py").write_text(noise + GOOD)

    made, _ = await build(source, tmp_path / "builds", python=sys.executable, now=NOW)

    assert made.schedule.describe() == "every 10 seconds"


async def test_a_thread_that_never_ends_does_not_hold_the_build_up(source: Path, tmp_path: Path) -> None:
    (source / "function.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait).start()\n" + GOOD
    )

    await build(source, tmp_path / "builds", python=sys.executable, now=NOW)


@pytest.mark.parametrize(
    "hang",
    [
        "import threading\nthreading.Event().wait()\n",
        "\nwhile True: pass\n",
        "import re\nre.match('(a*)*b', 'a' * 60)\n",  # in C, without letting anything else run
    ],
)
async def test_an_import_that_hangs_is_ended_and_its_line_named(source: Path, hang: str) -> None:
    (source / "function.py").write_text(hang + GOOD)

    failure = await _refusal(source, limit=0.4)

    assert failure.message == "function.py, line 2: importing function.py did not end within 0.4 s"
    assert "belongs into function()" in failure.hint


async def test_whatever_an_import_started_is_ended_with_it(source: Path) -> None:
    (source / "function.py").write_text(
        "import subprocess, sys, threading\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import threading; threading.Event().wait(60)'])\n"
        f"open({str(source.parent / 'pid')!r}, 'w').write(str(child.pid))\n"
        "threading.Event().wait()\n"
    )

    await _refusal(source, limit=0.5)

    pid = int((source.parent / "pid").read_text())
    limit = time.monotonic() + 10
    while _is_running(pid):
        assert time.monotonic() < limit


def _is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_child_that_the_author_forks_has_no_say(source: Path) -> None:
    (source / "function.py").write_text("import os\nif os.fork():\n    os.wait()\n    os._exit(3)\n" + GOOD)

    assert (await _refusal(source)).message == "importing function.py ended the interpreter: exit code 3"


async def test_the_gate_sees_the_environment_of_a_run(source: Path) -> None:
    (source / ".env").write_text("TOKEN=secret\n")
    (source / "function.py").write_text(
        "import os\nshown = sorted(set(os.environ) & {'TOKEN', 'KEIJI_TASK', 'PYTHONPATH', 'DB_URL'})\n"
        "raise RuntimeError(shown, os.environ['KEIJI_TASK'])\n"
    )

    failure = await _refusal(source, PYTHONPATH="/x", DB_URL="y")

    assert "RuntimeError: (['KEIJI_TASK', 'TOKEN'], \"計時 'x'\")" in failure.message


async def test_a_file_of_the_author_named_like_one_of_ours_hides_nothing(source: Path, tmp_path: Path) -> None:
    (source / "keiji.py").write_text("raise SystemExit\n")
    (source / "re.py").write_text("raise SystemExit\n")

    await build(source, tmp_path / "builds", python=sys.executable, now=NOW)


async def test_the_import_is_timed(source: Path, tmp_path: Path) -> None:
    (source / "function.py").write_text("import threading\nthreading.Event().wait(0.1)\n" + GOOD)

    made, _ = await build(source, tmp_path / "builds", python=sys.executable, now=NOW)

    assert 0.1 <= made.import_seconds < 5


def test_syntax_is_checked_without_importing(source: Path) -> None:
    (source / "function.py").write_text("raise SystemExit\n")
    (source / "broken.py").write_text("x = 1\n\nif x\n    pass\n")
    (source / "notes.txt").write_text("if x\n")

    assert check_syntax(source, sys.executable, ["function.py", "notes.txt", "gone.py"]) == ""
    assert check_syntax(source, sys.executable, ["function.py", "broken.py"]) == "broken.py, line 3: expected ':'"
