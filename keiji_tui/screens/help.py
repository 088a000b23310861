"""The help: the keys that work at the focus in columns, and a sentence about the selected one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from keiji_tui.actions.action import Action, ActionContext, Risk, Scope, key_label
from keiji_tui.actions.bindings import bindings, closing_binding
from keiji_tui.actions.catalog import actions_in
from keiji_tui.screens.text_dialog import TextDialog, hanging, section, title
from keiji_tui.text.sanitise import plain

_KEY, _LABEL = 6, 17  # cells of a key and of a label, each including the gap after it
_RARELY_USED = 100  # position of actions that the footer never shows
_SEVERAL = 3  # actions disabled for the same reason, which is then said once
_TITLES = {
    Scope.TASK: "The selected task",
    Scope.TASKS: "The list of tasks",
    Scope.SERVICE: "The selected service",
    Scope.RUN: "The selected run",
    Scope.BACKFILL: "The selected backfill",
    Scope.LIST: "Lists",
    Scope.LOG: "Logs",
    Scope.TEXT: "This text",
    Scope.LEDGER: "The selected directive",
    Scope.DAY: "The next 24 hours",
    Scope.EVERYWHERE: "Everywhere",
}


@dataclass(frozen=True, slots=True)
class KeySection:
    """The actions of one scope.

    Args:
        actions: the most used ones first.
        reason: why several of them are disabled if all are; "" otherwise.
    """

    name: str
    actions: Sequence[Action]
    reason: str

    def rows(self, columns: int) -> list[Sequence[Action]]:
        """Return the actions in rows, from left to right."""
        return [self.actions[begin : begin + columns] for begin in range(0, len(self.actions), columns)]


def key_sections(scopes: Sequence[Scope], context: ActionContext) -> list[KeySection]:
    """Return a section per scope. Those with enabled actions come first; otherwise they could be far below."""
    sections = []
    for scope in scopes:
        actions = sorted(actions_in(scope), key=lambda action: action.footer or _RARELY_USED)
        reasons = Counter(action.disabled_reason(context) for action in actions)
        reason, count = max(((text, count) for text, count in reasons.items() if text), default=("", 0), key=_count)
        is_shared = "" not in reasons and count >= _SEVERAL
        sections.append(KeySection(_TITLES[scope], actions, reason if is_shared else ""))
    return sorted(sections, key=lambda each: all(action.disabled_reason(context) for action in each.actions))


def _count(item: tuple[str, int]) -> int:
    return item[1]


class HelpScreen(TextDialog):
    """Help for the focus."""

    BINDINGS = [closing_binding("help"), *bindings(Scope.HELP)]  # noqa: RUF012 - declared so by Textual

    def __init__(self, scopes: tuple[Scope, ...], context: ActionContext) -> None:
        super().__init__()
        self._action_context = context
        self._sections = key_sections(scopes, context)
        self._actions = [action for each in self._sections for action in each.actions]
        self._index = 0  # of the selected action
        self._columns = 1

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog -page", can_focus=False):
            page = Static(id="page")
            page.auto_links = False  # keys are not styled as links
            yield page
            yield Static(id="sentence")

    def show(self) -> None:
        super().show()
        if self.query("#sentence"):
            width = self.query_one("#sentence").size.width or self.text_width
            self.query_one("#sentence", Static).update(Content("\n").join(self.sentence(width)))

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def text(self, width: int) -> Content:
        self._columns = max(1, (width + 1) // (_KEY + _LABEL))
        lines: list[Content] = [title("Keys")]
        for each in self._sections:
            lines.append(section(each.name))
            if each.reason:
                lines += hanging(Content(""), f"not now: {plain(each.reason)}", width, "$text-warning")
            lines += [Content.assemble(*map(self._cell, row)) for row in each.rows(self._columns)]
        return Content("\n").join(lines)

    def _cell(self, action: Action) -> Content:
        is_disabled = bool(action.disabled_reason(self._action_context))
        key_style, style = ("$text-disabled", "$text-disabled") if is_disabled else ("bold $key", "$foreground")
        cell = Content.assemble(
            (_brief_keys(action).ljust(_KEY), key_style),
            (action.current_label(self._action_context).ljust(_LABEL - 1), style),
        )
        if action is self._actions[self._index]:
            cell = cell.stylize("reverse" if self.app.no_color else "on $row-focused")
        click = Style.from_meta({"@click": f"screen.point('{action.id}')"})
        return Content.assemble(cell.stylize(click), " ")

    def sentence(self, width: int) -> Iterator[Content]:
        """Yield the lines about the selected key: all its keys, what it does, and why it is disabled."""
        action = self._actions[self._index]
        keys = Content.styled(" ".join(map(key_label, action.keys)) + "  ", "bold $key")
        risk = "" if action.risk is Risk.NONE else f" ({action.risk.value})"
        yield from hanging(keys, action.help + risk, width, "$foreground")
        if reason := action.disabled_reason(self._action_context):
            yield from hanging(Content(" " * keys.cell_length), f"not now: {plain(reason)}", width, "$text-warning")

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_select_key(self, step: int) -> None:
        """Select the next key (1) or the previous one (-1)."""
        self._select(self._index + step)

    def action_point(self, name: str) -> None:
        """Select the key of an action."""
        self._select(next(index for index, action in enumerate(self._actions) if action.id == name))

    def action_scroll(self, lines: int) -> None:
        """Select the key that is a number of rows further down."""
        row, column = self._place()
        rows = [cells for each in self._sections for cells in each.rows(self._columns)]
        row = min(max(row + lines, 0), len(rows) - 1)
        self._select(sum(map(len, rows[:row])) + min(column, len(rows[row]) - 1))

    def _place(self) -> tuple[int, int]:
        """Return the row and the column of the selected key; headings do not count."""
        first = row = 0
        for each in self._sections:
            index = self._index - first
            if index < len(each.actions):
                return row + index // self._columns, index % self._columns
            first += len(each.actions)
            row += len(each.rows(self._columns))
        return row, 0

    def _select(self, index: int) -> None:
        self._index = min(max(index, 0), len(self._actions) - 1)
        self.show()
        self._reveal()

    def _reveal(self) -> None:
        """Scroll to the selected key, and to the heading above the first row."""
        row, line = self._place()[0], 1
        for each in self._sections:
            line += 2 + bool(each.reason)
            count = len(each.rows(self._columns))
            if row < count:
                break
            row, line = row - count, line + count
        dialog = self.query_one(VerticalScroll)
        visible = dialog.scrollable_content_region.height - self.query_one("#sentence").outer_size.height
        top, bottom = line + row - (2 if row == 0 else 0), line + row + 1
        y = max(min(dialog.scroll_offset.y, top), bottom - visible)
        dialog.scroll_to(y=0 if self._index < self._columns else y, animate=False, force=True, immediate=True)

    def paint(self, now: datetime) -> None:
        """Do nothing: the help shows the state in which it was opened."""


def _brief_keys(action: Action) -> str:
    """Return the keys of an action for which there is room."""
    shown = action.key
    for key in action.keys[1:]:
        if len(shown) + 1 + len(key_label(key)) < _KEY:
            shown += f" {key_label(key)}"
    return shown
