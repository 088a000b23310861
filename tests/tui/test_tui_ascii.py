"""Terminals that show ASCII only: every symbol has a replacement of the same width, and nothing else is sent."""

from __future__ import annotations

import ast
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from piloting import running, sees, text_of
from rich.cells import cell_len
from scenes import live
from waiting import until

import keiji_tui
from keiji_engine.bus.views import ServiceStatus
from keiji_tui.state.task_state import TaskState
from keiji_tui.text.glyphs import ASCII_GLYPHS, needs_ascii, to_encodable
from keiji_tui.theme.ascii_filter import AsciiFilter
from keiji_tui.widgets.header import service_glyph

LIMIT = 15.0
NOT_SHOWN = {"\ufe00", "\ufe0f", "\ufffd", "\x9d", "\x9c", "\x9b"}  # characters of input, in expressions


def literals() -> Iterator[str]:
    """Yield the string literals of the terminal that may be shown."""
    for file in Path(keiji_tui.__file__).parent.rglob("*.py"):
        if file.name == "glyphs.py":
            continue
        tree = ast.parse(file.read_text())
        statements = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in statements:
                yield node.value


def test_every_symbol_of_the_terminal_has_an_ascii_replacement() -> None:
    used = {character for text in literals() for character in text if not character.isascii()}
    assert used - NOT_SHOWN - ASCII_GLYPHS.keys() == set()
    assert {symbol: cell_len(symbol) for symbol in ASCII_GLYPHS} == dict.fromkeys(ASCII_GLYPHS, 1)
    assert all(len(each) == 1 and each.isascii() for each in ASCII_GLYPHS.values())


def test_states_stay_distinct() -> None:
    for glyphs in ([state.glyph for state in TaskState], [service_glyph(status).plain for status in ServiceStatus]):
        assert len({ASCII_GLYPHS[glyph] for glyph in glyphs}) == len(glyphs)


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "o ?? ???? - x"),
        ("latin-1", "o éß ???? - x"),
        ("utf-8", "o éß 報告 - x"),
    ],
)
def test_letters_stay_where_the_encoding_has_them_and_the_width_is_kept(encoding: str, shown: str) -> None:
    text = "● éß 報告 – ×"
    assert to_encodable(text, encoding) == shown
    assert cell_len(shown) == cell_len(text)


def test_ascii_is_used_on_the_linux_console_and_without_utf_8() -> None:
    assert needs_ascii("linux", "utf-8")
    assert needs_ascii("xterm", "ISO-8859-1")
    assert not needs_ascii("xterm-256color", "UTF8")


async def test_the_layout_is_the_same_in_ascii() -> None:
    app, _ = live(task="ping_google")
    async with running(app, (100, 30)) as pilot:
        await until(pilot, sees(app, "ping_google", "Pinging Google"))
        whole = text_of(app)
        app.output_filters = (AsciiFilter("ascii"),)
        app.refresh(layout=True)
        await until(pilot, lambda: text_of(app).isascii())
        assert [to_encodable(line, "ascii") for line in whole.splitlines()] == text_of(app).splitlines()


@pytest.mark.parametrize(
    "environment",
    [{"TERM": "linux", "LANG": "C"}, {"TERM": "xterm", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["linux-console", "c-locale"],
)
def test_the_program_sends_ascii_only(environment: dict[str, str], tmp_path: Path) -> None:
    main, end = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "keiji_tui"],
        stdin=end, stdout=end, stderr=end, start_new_session=True,
        env={**os.environ, "KEIJI_ROOT": str(tmp_path), "COLUMNS": "80", "LINES": "24", **environment},
    )  # fmt: skip
    os.close(end)
    try:
        sent = b""
        deadline = time.monotonic() + LIMIT
        while b"There is no workspace" not in sent or b"help" not in sent:
            assert time.monotonic() < deadline, sent
            if select.select([main], [], [], 0.1)[0]:
                sent += os.read(main, 1 << 16)
    finally:
        child.kill()
        child.wait()
        os.close(main)
    assert sent.isascii()
    assert b"\\u" not in sent
