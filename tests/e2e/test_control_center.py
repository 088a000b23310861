"""The control center in a terminal, with a real engine."""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from e2e.shell import Shell
from installation import until
from pty_program import CONTROL_CENTER, PtyProgram

from keiji import engine_process

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


# ── the clipboard ────────────────────────────────────────────────────────────────────────────────────────────────────

NO_MULTIPLEXER = {"TMUX": "", "STY": ""}


def test_without_a_multiplexer_osc_52_is_sent_and_the_message_says_so(online: Shell) -> None:
    online("task create sent")
    with control_center(online, "sent", **NO_MULTIPLEXER) as program:
        program.type("y")
        program.until_shown("sent to the terminal's clipboard", "sent")
        assert f"52;c;{base64.b64encode(b'sent').decode()}" in program.emulator.strings


def test_in_screen_the_sequence_is_wrapped(online: Shell) -> None:
    name = "a task with a name that is too long for one piece of a wrapped sequence"
    online.run("task", "create", name)
    with control_center(online, name, **NO_MULTIPLEXER | {"STY": "1.pts-0.host"}) as program:
        program.type("y")
        program.until_shown("sent to the terminal's clipboard")
        pieces = program.output.decode().split("\x1bP")[1:]
        wrapped = "".join(piece.partition("\x1b\\")[0] for piece in pieces)
        assert wrapped == f"\x1b]52;c;{base64.b64encode(name.encode()).decode()}\x07"
        assert len(pieces) > 1


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_in_tmux_with_its_default_settings_the_text_is_copied(online: Shell) -> None:
    online("task create copied")
    with tempfile.TemporaryDirectory(prefix="keiji-") as folder:

        def tmux(*arguments: str) -> str:
            command = ["tmux", "-L", "keiji", "-f", "/dev/null", *arguments]
            environment = {name: value for name, value in os.environ.items() if name != "TMUX"}
            result = subprocess.run(
                command, env=environment | {"TMUX_TMPDIR": folder}, capture_output=True, text=True, check=False
            )
            return result.stdout

        variables = engine_process.environment_for(online.paths) | {"KEIJI_ROOT": online.environment["KEIJI_ROOT"]}
        program = shlex.join(["env", *map("=".join, variables.items()), *CONTROL_CENTER, "--task", "copied"])
        tmux("new-session", "-d", "-x", "120", "-y", "30", program)
        try:
            assert tmux("show-options", "-sv", "set-clipboard").strip() == "external"
            until(lambda: "log copied" in tmux("capture-pane", "-p"))
            tmux("send-keys", "y")
            until(lambda: "copied to tmux" in tmux("capture-pane", "-p"))
            assert tmux("show-buffer") == "copied"
        finally:
            tmux("kill-server")
