"""The control center on real pseudo-terminals: sizes, signals, suspension, and terminals that cannot be used."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pty_program import CONTROL_CENTER, PtyProgram

WELCOME = "There is no workspace in"
LEFT = {7, 25}  # the modes of a terminal outside of full-screen programs: line wrap, visible cursor


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "KEIJI_ROOT": str(tmp_path)}


@pytest.fixture
def program(environment: dict[str, str]) -> Iterator[PtyProgram]:
    """A control center that shows its first screen."""
    with PtyProgram(CONTROL_CENTER, environment) as program:
        program.until_shown(WELCOME)
        yield program


def check_idle(program: PtyProgram) -> None:
    """Check that the program stops repainting."""
    end = time.monotonic() + 10
    while True:
        length, window = len(program.output), time.monotonic() + 0.4
        while time.monotonic() < window:
            program.pump(0.05)
        if len(program.output) - length < 500:
            return
        assert time.monotonic() < end, f"{len(program.output) - length} bytes in 0.4 s"


def test_q_quits_and_restores_the_terminal(program: PtyProgram, tmp_path: Path) -> None:
    program.type("q")
    assert program.wait() == 0
    assert program.emulator.modes == LEFT
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_a_termination_signal_restores_the_terminal(number: signal.Signals, program: PtyProgram) -> None:
    assert program.emulator.modes > {1049, 1000, 1006, 2004}
    program.process.send_signal(number)
    assert program.wait() == 128 + number
    assert program.emulator.modes == LEFT
    assert "Traceback" not in program.text


@pytest.mark.parametrize(
    ("term", "words"), [("dumb", "'dumb'"), ("unknown", "'unknown'"), ("", "not set"), (None, "not set")]
)
def test_a_terminal_without_cursor_movement_is_refused(
    term: str | None, words: str, environment: dict[str, str]
) -> None:
    environment.pop("TERM", None)
    with PtyProgram(CONTROL_CENTER, environment, term=term) as program:
        assert program.wait() == 2
        assert f"$TERM is {words}" in program.text
        assert b"\x1b" not in program.output


def test_a_terminal_that_reports_no_size_does_not_repaint_endlessly(environment: dict[str, str]) -> None:
    with PtyProgram(CONTROL_CENTER, environment, size=(0, 0)) as program:
        program.until_shown(WELCOME, "create workspace")
        check_idle(program)
        program.type("q")
        assert program.wait() == 0


def test_a_terminal_that_is_resized_during_startup_does_not_repaint_endlessly(environment: dict[str, str]) -> None:
    with PtyProgram(CONTROL_CENTER, environment) as program:
        program.until(lambda: program.output)
        begin = time.monotonic()
        program.until(lambda: time.monotonic() - begin > 0.03)
        program.resize(100, 30)
        program.until_shown(WELCOME)
        check_idle(program)
        program.type("q")
        assert program.wait() == 0


def test_after_a_resize_the_screen_is_complete(program: PtyProgram) -> None:
    for columns, lines in ((100, 30), (60, 20), (80, 24)):
        program.resize(columns, lines)
        program.until_shown(WELCOME)
        program.until(lambda: "create workspace" in program.text.splitlines()[-1], "the last line")
        clock = re.compile(rf" keiji.{{{columns - 15}}}\d\d:\d\d:\d\d")
        program.until(lambda clock=clock: clock.fullmatch(program.text.splitlines()[0]), "the first line")  # type: ignore[misc]


def test_a_terminal_that_hangs_up_ends_the_program(program: PtyProgram) -> None:
    program.close_terminal()
    assert program.process.wait(10) == 128 + signal.SIGHUP
