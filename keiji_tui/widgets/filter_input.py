"""The line in which a filter is typed. It filters with each character; enter keeps the filter, escape clears it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label

from keiji_tui.actions.action import Scope
from keiji_tui.actions.bindings import bindings


class FilterInput(Input):
    """The input of a filter."""

    BINDINGS = bindings(Scope.FILTER)

    class Left(Message):
        """The user finished typing; ``is_kept`` says whether the filter stays."""

        def __init__(self, *, is_kept: bool) -> None:
            super().__init__()
            self.is_kept = is_kept

    def __init__(self, placeholder: str) -> None:
        super().__init__(placeholder=f"{placeholder} · enter keeps · esc shows all", compact=True, id="filter")
        self.cursor_blink = False

    def action_leave(self, is_kept: bool) -> None:
        """Go back to the table."""
        self.post_message(self.Left(is_kept=is_kept))


class FilterBar(Horizontal):
    """A filter with its label; hidden unless it is being typed.

    Args:
        placeholder: what is filtered.
    """

    DEFAULT_CSS = """
    FilterBar { display: none; height: 1; background: $row-focused; }
    FilterBar.-shown { display: block; }
    FilterBar Label { padding: 0 1; color: $text-accent; }
    FilterBar FilterInput { width: 1fr; height: 1; border: none; padding: 0; background: $row-focused; }
    FilterBar FilterInput:focus { border: none; }
    """

    class Changed(Message):
        """The filter text changed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(FilterInput.Left):
        """The user finished typing, and the line is hidden."""

    def __init__(self, placeholder: str = "filter by name") -> None:
        super().__init__()
        self._input = FilterInput(placeholder)

    def compose(self) -> ComposeResult:
        yield Label("filter")
        yield self._input

    def open(self) -> None:
        """Show the line and focus its input."""
        self.add_class("-shown")
        self.screen.set_focus(self._input)

    def close(self) -> None:
        """Hide the line; its text stays."""
        self.remove_class("-shown")

    def clear(self) -> None:
        """Empty the input."""
        self._input.value = ""

    def on_descendant_blur(self) -> None:
        """Hide the line once another widget has the focus, which a click may have given it.

        While the terminal itself has lost the focus, no widget has it, and the line stays.
        """
        if self.screen.focused not in (None, self._input):
            self.close()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    def on_filter_input_left(self, event: FilterInput.Left) -> None:
        event.stop()
        self.close()
        self.post_message(self.Closed(is_kept=event.is_kept))
