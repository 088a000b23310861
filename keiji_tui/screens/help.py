"""The keys that work where the focus is, what each does, and why one does not work now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from keiji_tui.actions.action import Action, ActionContext, Risk, Scope, shown
from keiji_tui.actions.catalog import of
from keiji_tui.screens.text_dialog import TextDialog, hanging, section, title
from keiji_tui.text.sanitise import plain

_KEYS, _FEW_KEYS = 13, 4  # cells; where there is little room, longer keys push aside what they do
_NARROW = 50
_SEVERAL = 3  # actions that do not work for the same reason
_TITLES = {
    Scope.TASK: "The selected task",
    Scope.TASKS: "The list of tasks",
    Scope.SERVICE: "The selected service",
    Scope.RUN: "The selected run",
    Scope.LIST: "Lists",
    Scope.LOG: "Logs",
    Scope.TEXT: "This text",
    Scope.LEDGER: "The selected directive",
    Scope.DAY: "The next 24 hours",
    Scope.EVERYWHERE: "Everywhere",
}


class HelpScreen(TextDialog):
    """Help for the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark", "dismiss", "close", show=False)]

    def __init__(self, places: tuple[Scope, ...], action_context: ActionContext) -> None:
        super().__init__()
        self._places = places
        self._situation = action_context

    def text(self, width: int) -> Content:
        # What can be done comes first: with nothing selected, that would be somewhere far below.
        places = sorted(self._places, key=self._is_blocked)
        return Content("\n").join([title("Keys"), *(line for place in places for line in self._section(place, width))])

    def _is_blocked(self, place: Scope) -> bool:
        return all(action.blocked(self._situation) for action in of(place))

    def _section(self, place: Scope, width: int) -> list[Content]:
        actions = of(place)
        lines = [section(_TITLES[place])]
        shared = self._shared_reason(actions) if self._is_blocked(place) else ""
        if shared:
            lines += hanging(Content(""), f"not now: {plain(shared)}", width, "$text-warning")
        for action in actions:
            lines += self._lines(action, width, shared)
        return lines

    def _shared_reason(self, actions: Sequence[Action]) -> str:
        """Return why several actions do not work now, where that is one reason; it is said once for all of them."""
        reasons = Counter(filter(None, (action.blocked(self._situation) for action in actions)))
        reason, count = reasons.most_common(1)[0] if reasons else ("", 0)
        return reason if count >= _SEVERAL else ""

    def _lines(self, action: Action, width: int, shared: str) -> list[Content]:
        reason = action.blocked(self._situation)
        risk = "" if action.risk is Risk.NONE else f" ({action.risk.value})"
        key_style, style = ("$text-disabled", "$text-disabled") if reason else ("bold $key", "$foreground")
        column = _KEYS if width >= _NARROW else _FEW_KEYS
        keys = " ".join(shown(key) for key in action.keys).ljust(column - 1) + " "
        lines = [*hanging(Content.styled(keys, key_style), action.help + risk, width, style)]
        if reason and reason != shared:
            lines += hanging(Content(" " * column), f"not now: {plain(reason)}", width, "$text-warning")
        return lines
