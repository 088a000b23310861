"""Progress reporting for task authors, with the terminal escape sequence OSC 9;4."""

from __future__ import annotations

import os
import sys


def progress(fraction: float | None, message: str = "") -> None:
    """Report the progress of this run. The control center displays it; it is not written to the log.

    A run prints the sequence with the message. Outside a run, the sequence is printed without the message if standard
    output is a terminal, and not at all otherwise. The reported progress is discarded when the run ends.

    Args:
        fraction: from 0 to 1; None if it is unknown.
        message: short description of the current step; at most 200 characters are used.

    Raises:
        ValueError: ``fraction`` is not a number from 0 to 1.
    """
    if fraction is not None and not 0 <= fraction <= 1:
        raise ValueError(f"progress({fraction!r}): expected a number from 0 to 1, or None")
    is_run = "KEIJI_RUN_ID" in os.environ
    if not is_run and not sys.stdout.isatty():
        return
    state = "3;0" if fraction is None else f"1;{round(fraction * 100)}"
    text = "".join(char for char in message[:200] if char.isprintable()) if is_run else ""
    sys.stdout.write(f"\x1b]9;4;{state}{f';{text}' if text else ''}\x1b\\")
    sys.stdout.flush()
