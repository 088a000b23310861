"""How a run passes the exception that ended it to its shim: over a pipe, as text separated by null bytes.

The entry script of a build writes it (see `keiji_engine.builds.entry`): for the exception, and for each exception in a
group, its type, message, file and line. An empty type stands for the text of a ``SystemExit``.
"""

from __future__ import annotations

import re

from keiji.reasons import Code, Reason, reason

VARIABLE = "KEIJI_FAILURE_FD"  # environment variable with the number of the descriptor to write to
MAX_REPORT_BYTES = 64 * 1024
MAX_TEXT_LENGTH = 300
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def parse_report(report: bytes, exit_code: int) -> Reason | None:
    """Return the reason of a failed run; None if it has reported nothing that can be read."""
    fields = report.decode("utf-8", "replace").split("\0")
    why: Reason | None = None
    for start in range(len(fields) // 4 * 4 - 4, -1, -4):
        kind, message, file, line = fields[start : start + 4]
        text = truncate(strip_controls(message))
        if not kind:
            return reason(Code.EXIT_CODE, exit_code=exit_code, detail=text)
        why = reason(
            Code.EXCEPTION,
            cause=why,
            exit_code=exit_code if start == 0 else None,
            type=truncate(strip_controls(kind)),
            message=text,
            file=truncate(strip_controls(file)) or None,
            line=int(line) if line.isdecimal() else None,
        )
    return why


def strip_controls(text: str) -> str:
    """Return text on one line, without escape sequences."""
    return " ".join(_CONTROL.sub(" ", _ESCAPE_SEQUENCE.sub("", text)).split())


def truncate(text: str) -> str:
    return text if len(text) <= MAX_TEXT_LENGTH else text[: MAX_TEXT_LENGTH - 1] + "…"
