"""The actions of the catalog as bindings of Textual. No other module creates a `Binding`."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from keiji_tui.actions.action import Action, Scope, always
from keiji_tui.actions.catalog import BY_ID, actions_in


def bindings(*scopes: Scope) -> list[BindingType]:
    """Return the bindings of all actions in some scopes."""
    return [
        # The keymap of the app replaces the default keys, by the ids.
        Binding(",".join(action.default_keys), binding_call(action), action.label, show=False, id=action.id)
        for action in actions_in(*scopes)
    ]


def binding_call(action: Action) -> str:
    """Return what a key runs: the action itself, or the check of its rule if it has one."""
    return action.call if action.disabled_reason is always else f"screen.act('{action.id}')"


def closing_binding(name: str) -> BindingType:
    """Return a binding with which the key that opens a dialog also closes it."""
    action = BY_ID[name]
    return Binding(",".join(action.default_keys), "dismiss", "close", show=False, id=action.id)
