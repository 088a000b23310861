"""The declared keys as bindings of the toolkit."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from keiji_tui.actions.action import Scope
from keiji_tui.actions.catalog import of


def bindings(*places: Scope) -> list[BindingType]:
    """Return the bindings of some places; what no widget does by itself goes to the terminal's one action."""
    return [
        Binding(
            # A terminal whose keys are others lays these over the usual ones, by their ids.
            ",".join(action.usual),
            action.call or f"app.act('{action.id}')",
            action.label,
            show=False,
            id=action.id,
        )
        for action in of(*places)
    ]
