"""Messages as the screen shows them. Pure, and without rich, because the match worker needs it too."""

from __future__ import annotations

import re

from keiji_tui.logs.terminal_line import emulate
from keiji_tui.text.sanitise import MAX_LINE_LENGTH, sanitise_line

BUILDS = "/builds/"
# A file of a build: …/builds/<hash>/src/function.py
_BUILD = r"builds/(?:[^/\s\"]+/)?[0-9a-f]{16,64}/(?:src/)?"
_FRAME = re.compile(rf'File "(?:[^"]*/)?{_BUILD}([^"]+)", line (\d+)')
_PATH = re.compile(rf"(?<![^\s\"'(\[=:])/(?:[^\s\"']*/)?{_BUILD}(?=[^\s\"'])")


def display(message: str, max_chars: int = MAX_LINE_LENGTH, *, dropped: int = 0, keep_paths: bool = False) -> str:
    """Return a message as a terminal shows it: with colours, but without any other control characters.

    Args:
        max_chars: length after which the message is cut.
        dropped: number of characters that were dropped from its end.
        keep_paths: whether to keep the paths of files in builds; otherwise, "function.py:12" is shown.
    """
    text = emulate(message)
    if not keep_paths and BUILDS in text:
        text = _PATH.sub("", _FRAME.sub(r"\1:\2", text))
    excess = max(0, len(text) - max_chars)
    text = text[: len(text) - excess]
    if not (text.isascii() and text.isprintable()):
        text = sanitise_line(text, len(text))
    return f"{text}\x1b[0m … {excess + dropped:,} more" if excess + dropped else text
