"""The keys that work where the focus is, what each does, and why one does not work now."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from keiji_tui.keymap import Action, Place, Risk, Situation, of, shown

_TITLES = {
    Place.TASK: "The selected task",
    Place.SERVICE: "The selected service",
    Place.LIST: "Lists",
    Place.LOG: "Logs",
    Place.EVERYWHERE: "Everywhere",
}


class HelpScreen(ModalScreen[None]):
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
        with VerticalScroll(classes="dialog", can_focus=False):
            yield Static(self.text(), id="help-body")

    def text(self) -> Content:
        """Return all of it."""
        parts: list[Content] = [Content.assemble(("Keys", "bold"), ("  esc closes", "$text-muted"))]
        for place in (*self._places, Place.EVERYWHERE):
            parts.append(Content.styled(f"\n{_TITLES[place]}", "bold $text-accent"))
            parts += [self._line(action) for action in of(place)]
        return Content("\n").join(parts)

    def _line(self, action: Action) -> Content:
        keys = " ".join(shown(key) for key in action.keys).ljust(13)
        reason = action.blocked(self._situation)
        risk = "" if action.risk is Risk.NONE else f" ({action.risk.value})"
        if reason:
            return Content.assemble(
                (f"{keys} ", "$text-disabled"),
                (action.help, "$text-disabled"),
                (f"\n{'':14}not now: {reason}", "$text-warning"),
            )
        return Content.assemble((f"{keys} ", "bold $key"), action.help, (risk, "$text-muted"))

    def action_scroll(self, lines: int) -> None:
        """Scroll by so many lines."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
