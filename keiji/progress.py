"""The terminal's own sequence for progress, OSC 9;4, for authors of tasks in Python."""

from __future__ import annotations

import os
import sys


def progress(fraction: float | None, words: str = "") -> None:
    """Say how far this run has got; the control center shows it, and the log does not.

    Under keiji it is told with the words; on a terminal, which has its own way to show it, without; elsewhere it says
    nothing. A run that ends takes its progress with it.

    Args:
        fraction: from 0 to 1; None where it goes on and nobody knows how far it is.
        words: what is being done, in a few words.

    Raises:
        ValueError: ``fraction`` is no number from 0 to 1.
    """
    if fraction is not None and not 0 <= fraction <= 1:
        raise ValueError(f"progress({fraction!r}): a number from 0 to 1 is needed, or None")
    is_ours = "KEIJI_RUN_ID" in os.environ
    if not is_ours and not sys.stdout.isatty():
        return
    state = "3;0" if fraction is None else f"1;{round(fraction * 100)}"
    said = "".join(letter for letter in words[:200] if letter.isprintable()) if is_ours else ""
    sys.stdout.write(f"\x1b]9;4;{state}{f';{said}' if said else ''}\x1b\\")
    sys.stdout.flush()
