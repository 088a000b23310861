"""The line in which a filter is typed. It works with every letter; enter keeps it, escape drops it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Label

from keiji_tui.messages import FilterChanged, FilterLeft


class FilterInput(Input):
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


class FilterBar(Horizontal):
    """The line in which a filter is typed; it is there only while it is.

    Args:
        letters: what the letters of the filter are those of.
    """

    DEFAULT_CSS = """
    FilterBar { display: none; height: 1; background: $row-focused; }
    FilterBar.-shown { display: block; }
    FilterBar Label { padding: 0 1; color: $text-accent; }
    FilterBar FilterInput { width: 1fr; height: 1; border: none; padding: 0; background: $row-focused; }
    FilterBar FilterInput:focus { border: none; }
    """

    def __init__(self, letters: str = "letters of a name") -> None:
        super().__init__()
        self._filter = FilterInput(letters, id="filter")

    def compose(self) -> ComposeResult:
        yield Label("filter")
        yield self._filter

    def open(self) -> None:
        """Let letters be typed."""
        self.add_class("-shown")
        self.screen.set_focus(self._filter)

    def close(self) -> None:
        """Take the line away; what was typed stays."""
        self.remove_class("-shown")

    def clear(self) -> None:
        """Forget what was typed."""
        self._filter.value = ""
