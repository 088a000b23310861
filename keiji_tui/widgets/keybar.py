"""The keys of the current screen on one line. A disabled one is dimmed; pressing or clicking it says why."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from keiji_tui.actions.action import Action, ActionContext

GAP = "  "
FIRST_LEFT = 10  # actions with a lower number are on the right


class KeyBar(Widget):
    """The bottom line. Disabled actions are left out first if the space is short, then those used least."""

    DEFAULT_CSS = "KeyBar { height: 1; width: 1fr; padding: 0 1; text-wrap: nowrap; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.auto_links = False  # keys are not styled as links
        self._shown: list[tuple[Action, str, bool]] = []

    def put(self, actions: Sequence[Action], context: ActionContext, hidden: Callable[[Action], bool]) -> None:
        """Show ``actions``, except those for which ``hidden`` returns True."""
        shown = [
            (action, action.current_label(context), not action.disabled_reason(context))
            for action in actions
            if not hidden(action)
        ]
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def render(self) -> Content:
        width = self.size.width
        shown = list(self._shown)
        while len(shown) > 1 and _needed([_part(*item) for item in shown]) > width:
            shown.remove(_least_useful(shown))
        left = Content(GAP).join([_part(*item) for item in shown if item[0].footer >= FIRST_LEFT])
        right = Content(GAP).join([_part(*item) for item in shown if item[0].footer < FIRST_LEFT])
        return Content.assemble(left, " " * (width - left.cell_length - right.cell_length), right)


def _least_useful(shown: Sequence[tuple[Action, str, bool]]) -> tuple[Action, str, bool]:
    """Return the item to leave out next: the last disabled one, or else the one with the highest footer number."""
    disabled = [item for item in shown if not item[2]]
    return max(enumerate(disabled or shown), key=lambda pair: (pair[1][0].footer, pair[0]))[1]


def _needed(parts: Sequence[Content]) -> int:
    return sum(part.cell_length + len(GAP) for part in parts) - len(GAP)


def _part(action: Action, label: str, is_allowed: bool) -> Content:
    click = Style.from_meta({"@click": f"screen.act('{action.id}')"})
    key_style, style = ("bold $key", "$text-muted") if is_allowed else ("$text-disabled", "$text-disabled")
    return Content.assemble((action.key, key_style), " ", (label, style)).stylize(click)
