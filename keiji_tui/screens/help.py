"""The keys that work where the focus is, what each does, and why one does not work now."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from keiji_tui.keymap import Action, Place, Risk, Situation, of, shown
from keiji_tui.logs.sanitise import plain
from keiji_tui.screens.page import Page, hanging, section, title

_KEYS, _FEW_KEYS = 13, 4  # cells; where there is little room, longer keys push aside what they do
_NARROW = 50
_TITLES = {
    Place.TASK: "The selected task",
    Place.TASKS: "The list of tasks",
    Place.SERVICE: "The selected service",
    Place.RUN: "The selected run",
    Place.LIST: "Lists",
    Place.LOG: "Logs",
    Place.TEXT: "This text",
    Place.LEDGER: "The selected directive",
    Place.EVERYWHERE: "Everywhere",
}


class HelpScreen(Page):
    """Help for the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark", "dismiss", "close", show=False)]

    def __init__(self, places: tuple[Place, ...], situation: Situation) -> None:
        super().__init__()
        self._places = places
        self._situation = situation

    def text(self, width: int) -> Content:
        parts: list[Content] = [title("Keys")]
        for place in self._places:
            parts.append(section(_TITLES[place]))
            for action in of(place):
                parts += self._lines(action, width)
        return Content("\n").join(parts)

    def _lines(self, action: Action, width: int) -> list[Content]:
        reason = action.blocked(self._situation)
        risk = "" if action.risk is Risk.NONE else f" ({action.risk.value})"
        key_style, style = ("$text-disabled", "$text-disabled") if reason else ("bold $key", "$foreground")
        column = _KEYS if width >= _NARROW else _FEW_KEYS
        keys = " ".join(shown(key) for key in action.keys).ljust(column - 1) + " "
        lines = [*hanging(Content.styled(keys, key_style), action.help + risk, width, style)]
        if reason:
            lines += hanging(Content(" " * column), f"not now: {plain(reason)}", width, "$text-warning")
        return lines
