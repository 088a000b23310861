"""The keys of the moment, on one line. One that is not available now is dimmed; pressing it says why."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.content import Content
from textual.style import Style
from textual.widget import Widget

from keiji_tui.keymap import Action, Situation


class KeyBar(Widget):
    """The bottom line. What does not fit is left out from the right; help and palette have everything."""

    DEFAULT_CSS = "KeyBar { height: 1; width: 1fr; padding: 0 1; text-wrap: nowrap; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.auto_links = False  # keys are no hyperlinks to look at
        self._shown: list[tuple[Action, bool]] = []

    def put(self, actions: Sequence[Action], situation: Situation, hidden: Callable[[Action], bool]) -> None:
        """Show ``actions``, without those that ``hidden`` says are of no interest now."""
        shown = [(action, not action.blocked(situation)) for action in actions if not hidden(action)]
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def render(self) -> Content:
        room = self.size.width
        parts: list[Content] = []
        ending = [_part(action, allowed) for action, allowed in self._shown if action.id == "help"]
        room -= sum(part.cell_length for part in ending)
        for action, allowed in self._shown:
            part = _part(action, allowed)
            if action.id == "help":
                continue
            if part.cell_length > room:
                break
            room -= part.cell_length
            parts.append(part)
        return Content.assemble(*parts, *ending)


def _part(action: Action, allowed: bool) -> Content:
    click = Style.from_meta({"@click": f"app.act('{action.id}')"}) if not action.call else Style()
    key, label = ("bold $key", "$text-muted") if allowed else ("$text-disabled", "$text-disabled")
    text = Content.assemble((action.key, key), " ", (action.label, label))
    return Content.assemble(text.stylize(click), "  ")
