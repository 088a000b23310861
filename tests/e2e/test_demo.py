"""The demo shows a system at work and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e.terminal import on_a_terminal
from installation import until

from keiji_cli.demo_tasks import TASKS

COMMAND = (sys.executable, "-m", "keiji_cli.main", "demo")


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a person without a workspace, whose temporary files go to ``folder``."""
    return {name: value for name, value in os.environ.items() if name not in {"KEIJI_ROOT", "KEIJI_WORKSPACE"}} | {
        "TMPDIR": str(folder),
        "TERM": "xterm-256color",
    }


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def engine_in(shown: str) -> int:
    return int(re.search(r"engine started with pid (\d+)", shown)[1])  # type: ignore[index]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_without_a_terminal_it_shows_the_system_for_a_while_as_text(tmp_path: Path) -> None:
    with demo(tmp_path, "--seconds=2.5") as process:
        shown, _ = process.communicate(timeout=50)
    assert process.returncode == 0, shown
    assert all(task.name in shown for task in TASKS)
    assert re.search(r"bus +ONLINE", shown)
    assert re.search(r"s  pulse +▶ running", shown)
    assert re.search(r"s  pulse +✓ succeeded", shown)
    assert re.search(r"s  pulse +it is \d\d:\d\d:\d\d", shown)
    assert "Traceback" not in shown
    until(lambda: is_gone(engine_in(shown)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143)])
def test_ended_by_a_signal_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with demo(tmp_path, "--seconds=100") as process:
        assert process.stdout is not None
        shown = ""
        while "link live" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        process.send_signal(number)
        rest, _ = process.communicate(timeout=50)
    assert process.returncode == code, rest
    assert "Traceback" not in rest
    until(lambda: is_gone(engine_in(shown)))
    assert not list(tmp_path.iterdir())


def test_on_a_terminal_it_is_the_control_center_until_somebody_quits(tmp_path: Path) -> None:
    ended, shown = on_a_terminal(COMMAND, environment(tmp_path), "every 8 s", "q")
    assert ended == 0, shown
    until(lambda: is_gone(engine_in(shown)))
    assert not list(tmp_path.iterdir())
