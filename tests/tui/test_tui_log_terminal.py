"""A log in the program as it is started, in a real terminal, on a real engine: the pager, the clipboard, a file."""

from __future__ import annotations

import base64
from pathlib import Path

from installation import Installation
from pty_program import CONTROL_CENTER, PtyProgram

from keiji_engine.bus import protocol as p

PRINTS = r"""
import sys
def function():
    for number in range(3000):
        print("line", number)
    print("\x1b]52;c;ZXZpbA==\x07\x1b[2Jstill here")
    print("it broke", file=sys.stderr, flush=True)
    raise SystemExit(3)
"""


def test_a_failed_run_is_opened_copied_saved_and_shown_in_the_pager(installation: Installation, tmp_path: Path) -> None:
    installation.build("breaks", PRINTS)
    installation.start()
    installation.ask(p.RunTask(task="breaks"))
    run = installation.ended("breaks")[0]
    pager = tmp_path / "pager"
    pager.write_text('#!/bin/sh\necho "PAGER of $1"; tail -n 1 "$1" > "$0.seen"\n')
    pager.chmod(0o755)
    editor = tmp_path / "editor"
    editor.write_bytes(b"\x7fELF is this not")  # it exists and cannot be executed
    editor.chmod(0o755)
    environment = installation.environment | {"PAGER": str(pager), "VISUAL": str(editor)}
    argv = (*CONTROL_CENTER, "--task", "breaks", "--run", run.run_id[:10])
    with PtyProgram(argv, environment, size=(200, 30), cwd=tmp_path) as program:
        program.until_shown("it broke", "follow")
        assert b"ZXZpbA==" not in program.output
        program.type_until_shown("y", "clipboard (OSC 52): it")
        assert base64.b64encode(b"it broke") in program.output
        program.type("o")
        program.until_shown(f"PAGER of {installation.paths.task_log('breaks')}", "Press any key")
        program.type(" ")
        program.until_shown("it broke", "follow")
        program.type("\x13")
        program.until_shown("save to")
        program.type_until_shown("\r", "saved run")
        program.type("1")
        program.until_shown("LAST 20 RUNS")
        program.type("E")
        program.until_shown("Exec format")
        program.type("q")
        assert program.wait() == 0
    assert "run failed" in (tmp_path / "pager.seen").read_text()
    lines = (tmp_path / "breaks.txt").read_text().splitlines()
    assert (len(lines), "still here" in lines[3000]) == (3003, True)
