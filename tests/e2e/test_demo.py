"""``keiji demo`` shows a running system and removes everything when it exits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e.shell import Shell
from e2e.terminal import run_on_terminal
from installation import until

from keiji_cli import demo_plain
from keiji_cli.demo_tasks import TASKS

ARGV = (sys.executable, "-m", "keiji_cli.main", "demo")


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a user without a workspace, with temporary files in ``folder``."""
    return {name: value for name, value in os.environ.items() if name not in {"KEIJI_ROOT", "KEIJI_WORKSPACE"}} | {
        "TMPDIR": str(folder),
        "TERM": "xterm-256color",
    }


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*ARGV, *arguments],
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


def engine_pid(output: str) -> int:
    return int(re.search(r"engine started with pid (\d+)", output)[1])  # type: ignore[index]


def has_exited(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_without_a_terminal_events_are_shown_as_text_and_sigterm_removes_everything(tmp_path: Path) -> None:
    expected = (
        *(task.name for task in TASKS),
        r"bus +ONLINE",
        r"s  +link live",
        r"s  pulse +▶ running",
        r"s  pulse +✓ succeeded",
        r"s  pulse +it is \d\d:\d\d:\d\d",
    )
    with demo(tmp_path, "--seconds=100") as process:
        assert process.stdout is not None
        output = ""
        while not all(re.search(pattern, output) for pattern in expected):
            line = process.stdout.readline()
            assert line, output
            output += line
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=50)
    assert process.returncode == 128 + signal.SIGTERM, rest
    assert "Traceback" not in output + rest
    until(lambda: has_exited(engine_pid(output)))
    assert not list(tmp_path.iterdir())


def test_the_text_output_ends_after_the_given_time(online: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    demo_plain.show_events(online.paths, 0.3)
    assert 0.3 <= time.monotonic() - start < 5
    assert "link live" in capsys.readouterr().out


def test_on_a_terminal_the_control_center_is_shown_until_it_is_quit(tmp_path: Path) -> None:
    code, output = run_on_terminal(ARGV, environment(tmp_path), "every 8s", "q")
    assert code == 0, output
    until(lambda: has_exited(engine_pid(output)))
    assert not list(tmp_path.iterdir())
