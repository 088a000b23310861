"""The keys that work where the focus is, what each does, and why one does not work now."""

from __future__ import annotations

import textwrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from keiji_tui.keymap import Action, Place, Risk, Situation, of, shown
from keiji_tui.logs.sanitise import plain
from keiji_tui.screens.modal import Modal

_WIDTH, _FRAME, _KEYS = 76, 8, 13
_TITLES = {
    Place.TASK: "The selected task",
    Place.SERVICE: "The selected service",
    Place.LIST: "Lists",
    Place.LOG: "Logs",
    Place.EVERYWHERE: "Everywhere",
}


class HelpScreen(Modal[None]):
    """Help for the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "close", show=False),
        Binding("j,down", "scroll(1)", "down", show=False),
        Binding("k,up", "scroll(-1)", "up", show=False),
        Binding("ctrl+d,pagedown", "scroll(10)", "page down", show=False),
        Binding("ctrl+u,pageup", "scroll(-10)", "page up", show=False),
    ]

    def __init__(self, places: tuple[Place, ...], situation: Situation) -> None:
        super().__init__()
        self._places = places
        self._situation = situation

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog -wide", can_focus=False):
            yield Static(self.text(min(self.app.size.width, _WIDTH) - _FRAME), id="help-body")

    def text(self, width: int) -> Content:
        """Return all of it, in lines of ``width`` cells."""
        parts: list[Content] = [Content.assemble(("Keys", "bold"), ("  esc closes", "$text-muted"))]
        for place in self._places:
            parts.append(Content.styled(f"\n{_TITLES[place]}", "bold $text-accent"))
            for action in of(place):
                parts += self._lines(action, max(12, width - _KEYS))
        return Content("\n").join(parts)

    def _lines(self, action: Action, width: int) -> list[Content]:
        reason = action.blocked(self._situation)
        risk = "" if action.risk is Risk.NONE else f" ({action.risk.value})"
        key_style, style = ("$text-disabled", "$text-disabled") if reason else ("bold $key", "$foreground")
        keys = " ".join(shown(key) for key in action.keys)
        found = [(line, style) for line in textwrap.wrap(action.help + risk, width)]
        found += [
            (line, "$text-warning") for line in textwrap.wrap(f"not now: {plain(reason)}" if reason else "", width)
        ]
        starts = [keys, *[""] * (len(found) - 1)]
        return [
            Content.assemble((start.ljust(_KEYS), key_style), line) for start, line in zip(starts, found, strict=True)
        ]

    def action_scroll(self, lines: int) -> None:
        """Scroll by so many lines."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
