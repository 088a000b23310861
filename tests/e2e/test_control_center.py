"""The control center in a terminal, with a real engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.shell import Shell
from installation import until
from pty_program import CONTROL_CENTER, PtyProgram

LEFT = {7, 25}  # the modes of a terminal outside of full-screen programs: line wrap, visible cursor


@contextmanager
def control_center(shell: Shell, task: str, **environment: str) -> Iterator[PtyProgram]:
    """A control center with a task selected."""
    with PtyProgram((*CONTROL_CENTER, "--task", task), shell.environment | environment, size=(120, 30)) as program:
        program.until_shown(f"log {task}", "enter details")
        yield program


def test_e_edits_the_function_and_returns(online: Shell) -> None:
    online("task create edited")
    script = "sh -c 'echo editing $0; read answer; echo $answer >> $0'"
    with control_center(online, "edited", VISUAL=script) as program:
        program.type("E")
        program.until_shown("editing", "edited/function.py")
        assert program.emulator.modes == LEFT
        program.type("# changed\n")
        program.until_shown("log edited", "enter details")
        assert (online.paths.source("edited") / "function.py").read_text().endswith("# changed\n")
        program.type("q")
        assert program.wait() == 0


def test_e_reports_a_task_folder_that_was_deleted(online: Shell) -> None:
    online("task create deleted")
    with control_center(online, "deleted", VISUAL="true") as program:
        shutil.rmtree(online.paths.source("deleted"))
        program.type("E")
        program.until_shown("cannot edit function.py", "tasks/deleted does not", "exist")


def test_the_output_of_a_pager_that_is_not_interactive_stays_until_a_key_is_pressed(online: Shell) -> None:
    online("task create paged")
    online.write("paged", function="print('a line of the log')")
    online("task build paged")
    online("task run paged")
    until(lambda: "a line of the log" in online.log("paged"))
    with control_center(online, "paged", PAGER="cat") as program:
        program.type("l")
        program.until_shown("a line of the log")
        program.type("o")
        program.until_shown("a line of the log", "Press any key to return")
        assert program.emulator.modes == LEFT
        program.type("\x03")  # ctrl+c is a key like any other here
        program.until(lambda: 1049 in program.emulator.modes)
        program.until_shown("a line of the log", "follow")
        program.type("q")
        assert program.wait() == 0


def test_ctrl_c_in_an_editor_does_not_end_the_control_center(online: Shell) -> None:
    online("task create interrupted")
    with control_center(online, "interrupted", VISUAL="sh -c 'echo editing; exec sleep 60'") as program:
        program.type("E")
        program.until_shown("editing")
        program.type("\x03")
        program.until_shown("log interrupted", "exited with code")
        program.type("q")
        assert program.wait() == 0
