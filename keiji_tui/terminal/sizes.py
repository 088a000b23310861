"""Changes of the terminal's size."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.screen import Screen


def ignore_outdated_size(screen: Screen[Any], event: events.Resize) -> None:
    """Ignore a resize event if the terminal has another size by now; to be called by each screen.

    A screen that adapts to a size sends itself an event with that size. Two different events in its queue would
    therefore replace each other forever, with two repaints each time. This happens if the terminal is resized while
    the first screen is being built, and also if it reports no size, because Textual and Rich then assume different
    ones.
    """
    if event.size != screen.app.size:
        event.prevent_default()
