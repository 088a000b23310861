"""The help: the keys that work at the focus, what each does, and why it is disabled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from textual.content import Content

from keiji_tui.actions.action import Action, ActionContext, Risk, Scope, key_label
from keiji_tui.actions.bindings import closing_binding
from keiji_tui.actions.catalog import actions_in
from keiji_tui.screens.text_dialog import TextDialog, hanging, section, title
from keiji_tui.text.sanitise import plain

_KEYS, _FEW_KEYS = 13, 4  # cells; on a narrow screen, long keys shift the text
_NARROW = 50
_RARELY_USED = 100  # position of actions that the footer never shows
_SEVERAL = 3  # actions disabled for the same reason, which is then said once
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

    BINDINGS = [closing_binding("help")]  # noqa: RUF012 - declared so by Textual

    def __init__(self, scopes: tuple[Scope, ...], context: ActionContext) -> None:
        super().__init__()
        self._scopes = scopes
        self._action_context = context

    def text(self, width: int) -> Content:
        # Scopes with enabled actions come first; with nothing selected, they would be far below.
        scopes = sorted(self._scopes, key=self._is_disabled)
        return Content("\n").join([title("Keys"), *(line for scope in scopes for line in self._section(scope, width))])

    def _is_disabled(self, scope: Scope) -> bool:
        return all(action.disabled_reason(self._action_context) for action in actions_in(scope))

    def _section(self, scope: Scope, width: int) -> list[Content]:
        actions = sorted(actions_in(scope), key=lambda action: action.footer or _RARELY_USED)
        lines = [section(_TITLES[scope])]
        shared = self._shared_reason(actions) if self._is_disabled(scope) else ""
        if shared:
            lines += hanging(Content(""), f"not now: {plain(shared)}", width, "$text-warning")
        for action in actions:
            lines += self._lines(action, width, shared)
        return lines

    def _shared_reason(self, actions: Sequence[Action]) -> str:
        """Return the reason why several actions are disabled; "" if they have no reason in common."""
        reasons = Counter(filter(None, (action.disabled_reason(self._action_context) for action in actions)))
        reason, count = reasons.most_common(1)[0] if reasons else ("", 0)
        return reason if count >= _SEVERAL else ""

    def _lines(self, action: Action, width: int, shared: str) -> list[Content]:
        reason = action.disabled_reason(self._action_context)
        risk = "" if action.risk is Risk.NONE else f" ({action.risk.value})"
        key_style, style = ("$text-disabled", "$text-disabled") if reason else ("bold $key", "$foreground")
        column = _KEYS if width >= _NARROW else _FEW_KEYS
        keys = " ".join(key_label(key) for key in action.keys).ljust(column - 1) + " "
        lines = [*hanging(Content.styled(keys, key_style), action.help + risk, width, style)]
        if reason and reason != shared:
            lines += hanging(Content(" " * column), f"not now: {plain(reason)}", width, "$text-warning")
        return lines
