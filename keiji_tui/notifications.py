"""Which messages replace which, so that few of them cover the screen. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from textual.notifications import Notification

from keiji_tui.screens.base import NOT_NOW

_MAX_LINES = 4


def replaces(new: Notification, shown: Notification) -> bool:
    """Return whether a message replaces one that says the same, or an older one about a disabled action."""
    is_refusal = new.title.endswith(NOT_NOW) and shown.title.endswith(NOT_NOW)
    return is_refusal or (shown.title, shown.message) == (new.title, new.message)


def summary(errors: Sequence[str]) -> str:
    """Return the first few errors of a file, a line each, and the number of the others."""
    more = [f"and {len(errors) - _MAX_LINES} more"] if len(errors) > _MAX_LINES else []
    return "\n".join([*errors[:_MAX_LINES], *more])
