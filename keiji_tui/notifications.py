"""Decides which notifications replace older ones, so that few cover the screen. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from textual.notifications import Notification

from keiji_tui.screens.base import NOT_NOW

_MAX_LINES = 4


def replaces(new: Notification, shown: Notification) -> bool:
    """Return whether ``new`` replaces ``shown``: both are equal, or both are about disabled actions."""
    is_refusal = new.title.endswith(NOT_NOW) and shown.title.endswith(NOT_NOW)
    return is_refusal or (shown.title, shown.message) == (new.title, new.message)


def summary(errors: Sequence[str]) -> str:
    """Return the first few errors, one per line, and the number of the rest."""
    more = [f"and {len(errors) - _MAX_LINES} more"] if len(errors) > _MAX_LINES else []
    return "\n".join([*errors[:_MAX_LINES], *more])
