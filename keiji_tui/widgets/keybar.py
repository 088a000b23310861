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
    """The bottom line. What does not fit is left out from the right; the help and the palette have everything."""

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
        here = [_part(*item) for item in self._shown if item[0].footer >= FIRST_LEFT]
        always = [_part(*item) for item in self._shown if item[0].footer < FIRST_LEFT]
        while len(always) > 1 and _needed(here + always) > width:
            always.pop()
        while here and _needed(here + always) > width:
            here.pop()
        ahead, behind = Content(GAP).join(here), Content(GAP).join(always)
        return Content.assemble(ahead, " " * (width - ahead.cell_length - behind.cell_length), behind)


def _needed(parts: Sequence[Content]) -> int:
    return sum(part.cell_length + len(GAP) for part in parts) - len(GAP)


def _part(action: Action, label: str, is_allowed: bool) -> Content:
    click = Style.from_meta({"@click": f"screen.act('{action.id}')"})
    key_style, style = ("bold $key", "$text-muted") if is_allowed else ("$text-disabled", "$text-disabled")
    return Content.assemble((action.key, key_style), " ", (label, style)).stylize(click)
