"""A log in the program as it is started, in a real terminal, on a real engine: the pager, the clipboard, a file."""

from __future__ import annotations

import base64
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

from installation import Installation
from test_tui_program import LIMIT, _available, _drain, _read_until

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


def _press_until(descriptor: int, key: bytes, words: str) -> None:
    """Press a key until it has its effect: what it is about may be on the screen before the key is about it."""
    seen, deadline = "", time.monotonic() + LIMIT
    while words not in seen:
        assert time.monotonic() < deadline, seen[-500:]
        os.write(descriptor, key)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            seen += _available(descriptor)


def test_a_failed_run_is_opened_copied_saved_and_shown_in_the_pager(installation: Installation, tmp_path: Path) -> None:
    installation.build("breaks", PRINTS)
    installation.start()
    installation.ask(p.RunTask(task="breaks"))
    run = installation.ended("breaks")[0]
    pager = tmp_path / "pager"
    pager.write_text('#!/bin/sh\necho "PAGER of $1"; tail -n 1 "$1" > "$0.seen"\n')
    pager.chmod(0o755)
    editor = tmp_path / "editor"
    editor.write_bytes(b"\x7fELF is this not")  # there, and cannot be run
    editor.chmod(0o755)
    main, end = pty.openpty()
    os.set_blocking(main, False)
    child = subprocess.Popen(
        [sys.executable, "-m", "keiji_tui", "--task", "breaks", "--run", run.run_id[:10]],
        stdin=end, stdout=end, stderr=end, start_new_session=True, cwd=tmp_path,
        env={**installation.environment, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30",
             "PAGER": str(pager), "VISUAL": str(editor)},
    )  # fmt: skip
    os.close(end)
    try:
        seen = _read_until(main, "it broke")
        assert "ZXZpbA==" not in seen
        _press_until(main, b"y", base64.b64encode(b"it broke").decode())
        os.write(main, b"o")
        _read_until(main, f"PAGER of {installation.paths.task_log('breaks')}")
        _read_until(main, "it broke")
        os.write(main, b"\x13")
        _read_until(main, "save to")
        _press_until(main, b"\r", "saved run")
        os.write(main, b"1")
        _press_until(main, b"E", "Exec format")
        os.write(main, b"q")
        _drain(main, child)
        assert child.wait(LIMIT) == 0
    finally:
        child.kill()
        child.wait()
        os.close(main)
    assert "run failed" in (tmp_path / "pager.seen").read_text()
    saved = (tmp_path / "breaks.txt").read_text().splitlines()
    assert (len(saved), "still here" in saved[3000]) == (3003, True)
