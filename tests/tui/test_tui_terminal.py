"""The control center on real pseudo-terminals: sizes, signals, suspension, and terminals that cannot be used."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
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
    assert b"^[[" not in program.output, "replies are not echoed"
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


SMALL_APP = """
import sys, time
from textual.app import App
from textual.widgets import Label
from keiji_tui.external import open_in_pager
from keiji_tui.terminal.driver import TerminalDriver
from keiji_tui.terminal.signals import exit_on_signals

class SmallApp(App):
    BINDINGS = [("c", "crash", ""), ("b", "block", ""), ("e", "edit", "")]

    def get_driver_class(self):
        return TerminalDriver

    def compose(self):
        yield Label("a label")

    def action_crash(self):
        raise RuntimeError("the reason")

    def action_edit(self):
        open_in_pager(self, [])
        self.query_one(Label).update("back")

    def action_block(self):
        self.bell()
        time.sleep(60)

app = SmallApp()
with exit_on_signals(app, grace=0.2):
    app.run()
sys.exit(app.return_code)
"""


PAGER = """
import signal
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
print("paging", flush=True)
input()
"""


@pytest.fixture
def small_app(environment: dict[str, str]) -> Iterator[PtyProgram]:
    pager = shlex.join((sys.executable, "-c", PAGER))
    with PtyProgram((sys.executable, "-c", SMALL_APP), environment | {"PAGER": pager}) as program:
        program.until_shown("a label")
        yield program


def test_a_crash_restores_the_terminal_and_shows_its_traceback(small_app: PtyProgram) -> None:
    small_app.type("c")
    assert small_app.wait() == 1
    assert small_app.emulator.modes == LEFT
    assert "the reason" in small_app.text


def test_ctrl_c_in_a_pager_belongs_to_the_pager(small_app: PtyProgram) -> None:
    small_app.type("e")
    small_app.until_shown("paging")
    small_app.type("\x03")
    small_app.until_shown("interrupted")
    begin = time.monotonic()
    small_app.until(lambda: time.monotonic() - begin > 0.5)  # longer than a terminated application may take
    small_app.type("\n")
    small_app.until_shown("Press any key")
    small_app.type(" ")
    small_app.until_shown("back")


def test_a_termination_signal_ends_an_application_that_is_blocked(small_app: PtyProgram) -> None:
    attributes, bells = small_app.attributes(), small_app.output.count(b"\x07")
    small_app.type("b")
    small_app.until(lambda: small_app.output.count(b"\x07") > bells, "the bell")
    small_app.process.terminate()
    assert small_app.wait() == 128 + signal.SIGTERM
    assert small_app.emulator.modes == LEFT
    assert small_app.attributes() != attributes


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
        for step in range(1, 16):  # over the time in which the first screen is built
            program.resize(80 + step, 24 + step)
            program.pump(0.01)
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


def test_a_theme_that_cannot_be_saved_is_used_for_the_session(environment: dict[str, str]) -> None:
    no_disk_space = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
    with PtyProgram((*no_disk_space, *CONTROL_CENTER), environment) as program:
        program.until_shown(WELCOME)
        before = program.emulator.cells[10][10]
        program.type("T")
        program.until_shown("theme")
        program.type("keiji-light\r")
        program.until_shown("theme not saved", "File too large", WELCOME)
        assert program.emulator.cells[10][10] != before
        program.type("q")
        assert program.wait() == 0


SHELL = ("bash", "--norc", "--noprofile", "--noediting", "-i")


@pytest.fixture
def shell(environment: dict[str, str]) -> Iterator[PtyProgram]:
    """An interactive shell that has started a control center."""
    with PtyProgram(SHELL, environment | {"PS1": "ready> "}) as shell:
        shell.until_shown("ready>")
        shell.type(" ".join(CONTROL_CENTER) + "\r")
        shell.until_shown(WELCOME)
        yield shell


def test_ctrl_z_suspends_and_fg_returns(shell: PtyProgram) -> None:
    for _ in range(2):
        shell.type("\x1a")
        shell.until_shown("Stopped", "ready>")
        assert shell.emulator.modes == LEFT
        assert WELCOME not in shell.text
        shell.type("fg\r")
        shell.until_shown(WELCOME, "create workspace")
        assert shell.emulator.modes > {1049, 1000, 1006, 2004}
        shell.type("\x1b[A")  # the keys are read again
        shell.type("?")
        shell.until_shown("esc closes")
        shell.type("\x1b")
        shell.until(lambda: "esc closes" not in shell.text)
    shell.type("q")
    shell.until(lambda: shell.emulator.modes == LEFT)


def test_a_suspended_control_center_that_is_resumed_in_the_background_waits_for_fg(shell: PtyProgram) -> None:
    shell.type("\x1a")
    shell.until_shown("Stopped", "ready>")
    shell.type("bg\r")
    shell.until(lambda: shell.text.count("ready>") == 3)
    shell.type("jobs\r")
    shell.until(lambda: shell.text.count("ready>") == 4)
    assert shell.emulator.modes == LEFT
    shell.type("fg\r")
    shell.until_shown(WELCOME, "create workspace")
    shell.type("q")
    shell.until(lambda: shell.emulator.modes == LEFT)
    shell.until(lambda: shell.text.rstrip().endswith("ready>"))
    shell.type("echo exit code $?\r")
    shell.until_shown("exit code 0")


def test_sigtstp_restores_the_terminal_and_fg_paints_it_again(shell: PtyProgram) -> None:
    (pid,) = Path(f"/proc/{shell.process.pid}/task/{shell.process.pid}/children").read_text().split()
    os.kill(int(pid), signal.SIGTSTP)
    shell.until_shown("Stopped", "ready>")
    assert shell.emulator.modes == LEFT
    shell.type("fg\r")
    shell.until_shown(WELCOME, "create workspace")


def test_without_job_control_ctrl_z_does_not_stop_the_program(program: PtyProgram) -> None:
    program.type("\x1a")
    program.until_shown("no shell with job control")


def test_ctrl_l_repaints_a_screen_that_other_output_has_disturbed(program: PtyProgram) -> None:
    check_idle(program)
    program.emulator.feed(b"\x1b[5;1Ha message to all users")
    program.type("\x0c")
    program.until(lambda: "a message to all users" not in program.text)
    assert WELCOME in program.text
