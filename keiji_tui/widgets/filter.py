"""The line in which a filter is typed. It works with every letter; enter keeps it, escape drops it."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from keiji_tui.messages import FilterChanged, FilterLeft


class Filter(Input):
    """Letters that the shown rows have.

    Args:
        letters: what they are those of.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave(False)", "show all", show=False),
        Binding("enter,down,tab", "leave(True)", "keep", show=False),
    ]

    def __init__(self, letters: str = "letters of a name", *, id: str | None = None) -> None:
        super().__init__(placeholder=f"{letters} · enter keeps · esc shows all", compact=True, id=id)
        self.cursor_blink = False

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(FilterChanged(event.value))

    def action_leave(self, is_kept: bool) -> None:
        """Go back to the table."""
        self.post_message(FilterLeft(is_kept=is_kept))
