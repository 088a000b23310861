"""The line of the output that explains a failure."""

from __future__ import annotations

import pytest

from keiji_engine.runner.shim import last_line

NODE = """node:internal/modules/cjs/loader:1210
  throw err;
  ^

Error: Cannot find module '/srv/clean.js'
    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15)
    at node:internal/main/run_main_module:28:49 {
  code: 'MODULE_NOT_FOUND',
  requireStack: []
}

Node.js v20.20.2
"""
JAVA = 'Exception in thread "main" Error: disk full\n\tat a.B.run(B.java:3)\nCaused by: X: no space\n\t... 3 more\n'


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        ("no such column\n      ^^^^\n", "no such column"),
        ("----\n^^^^\n", "^^^^"),
        ("loading\n  \x1b[31mERROR: disk full\x1b[0m\r\n", "ERROR: disk full"),
        (NODE, "Error: Cannot find module '/srv/clean.js'"),
        (JAVA, "Caused by: X: no space"),
        ("    at the start\n", "at the start"),
        ("Node.js v20.20.2\n", "Node.js v20.20.2"),
    ],
)
def test_the_last_line_is_the_message_of_an_error(output: str, expected: str) -> None:
    assert last_line(output.encode()) == expected
