"""The ledger: every directive, newest first, with its stage, its output and the equivalent command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from keiji.formats import format_measurement
from keiji_engine.bus.views import TaskView
from keiji_tui.actions.action import Action, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.screens.base import ScreenContext
from keiji_tui.screens.build_output import DirectiveOutputScreen
from keiji_tui.screens.list import ListScreen
from keiji_tui.screens.loading import LoadingScreen
from keiji_tui.screens.text_dialog import hanging
from keiji_tui.state import ledger
from keiji_tui.state.ledger import Entry
from keiji_tui.state.list_filter import ListFilter
from keiji_tui.text.format import format_calendar, format_clock, format_count, format_day_and_clock
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.columns import Column
from keiji_tui.widgets.table import Table

LIMIT = 200
COLUMNS = (
    Column("mark", "", 1, 1, 0),
    Column("when", "WHEN", 8, 12, 1),
    Column("what", "DIRECTIVE", 12, 48, 2),
    Column("stage", "STAGE", 8, 10, 3),
    Column("user", "USER", 6, 20, 5),
    Column("answer", "ANSWER", 12, 100, 4, preferred_width=40, is_shrinkable=True),
    Column("command", "ON THE COMMAND LINE", 24, 60, 6),
)
_MARKS = {
    ledger.SENT: ("…", "$text-warning"),
    ledger.ACCEPTED: ("◐", "$text-warning"),
    ledger.DONE: ("●", "$text-success"),
    ledger.REFUSED: ("✗", "$text-error"),
    ledger.LOST: ("?", "$text-error"),
    ledger.UNANSWERED: ("?", "$text-error"),
}
_MAX_COMMAND_LENGTH = 10_000  # characters of a command
_MAX_SHARE = 0.4  # of the height of the screen for the selected directive, as in the style sheet


class LedgerScreen(ListScreen[Entry], LoadingScreen):
    """A row per directive, whichever program sent it."""

    BINDINGS = bindings(Scope.LEDGER)
    SCOPES = (Scope.LEDGER,)
    AUTO_FOCUS = "#ledger"
    NOUN = "directives"
    FILTER_PROMPT = "filter by directive, sender or output"

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self._content_widths: dict[str, int] = {}
        self._widths_key: object = None
        self._rows: dict[str, Entry] = {}
        self._rows_revision = -1

    def create_filter(self) -> ListFilter[Entry]:
        return ledger.ledger_filter()

    def body(self) -> ComposeResult:
        yield AdaptiveLine(id="ledger-title", classes="title")
        yield self.filter_line()
        yield Static(id="ledger-empty", classes="empty")
        yield Table(COLUMNS, self._cells, id="ledger")
        yield Static(id="ledger-entry", classes="written-out")

    @property
    def rows(self) -> Mapping[str, Entry]:
        known = self.store.ledger
        if self._rows_revision != known.revision:
            self._rows_revision = known.revision
            self._rows = {key: known.entries[key] for key in known.newest_first()}
        return self._rows

    @property
    def entry(self) -> Entry | None:
        """The selected directive."""
        return self.store.ledger.entries.get(self.table.selected or "")

    def copy_lines(self) -> Sequence[str]:
        return [plain(self.entry.command, _MAX_COMMAND_LENGTH)] if self.entry and self.entry.command else ()

    @property
    def selected_task(self) -> TaskView | None:
        entry = self.entry
        return self.store.find_task(entry.target) if entry is not None and not entry.verb.endswith("-service") else None

    def is_hidden(self, action: Action) -> bool:
        if action.id in ("directive-output", "copy-directive"):
            return self.entry is None
        if action.id == "ledger-category":
            return not self.rows
        return action.id in ("ledger", "logs") or super().is_hidden(action)

    async def load(self) -> None:
        self.store.ledger.merge(await self.context.link.directives(LIMIT))

    def paint_body(self, now: datetime) -> None:
        store = self.store
        self.loader.update(store.engine.boot if store.engine else None)
        self.show_title("#ledger-title", [Content.styled("ledger", "bold")], self._note(), self.loader.status)
        as_of = (store.ledger.revision, now.astimezone(store.zone).date())
        if self._widths_key != as_of:
            self._widths_key = as_of
            rows = [self._cells(key) for key in self.rows]
            self._content_widths = {
                column.id: max((row[column.id].cell_length for row in rows), default=0) for column in COLUMNS[1:]
            }
        self.set_class(not self.rows, "-empty")
        if self.rows and self.focused is None:
            self.set_focus(self.table)  # a hidden table cannot have the focus
        if not self.rows:
            self.set_text("#ledger-empty", self._empty_page())
        self.show_rows(self._content_widths, newest_first=True)
        self._show_selected()

    def _note(self) -> str:
        """Return how many directives there are, and how many of them are in progress."""
        in_flight = sum(entry.is_in_flight for entry in self.rows.values())
        count = format_count(len(self.rows), "directive") if self.rows else ""
        return f"{count}, {in_flight} in progress" if in_flight else count

    def on_resize(self) -> None:
        self._show_selected()

    def action_show_output(self) -> None:
        """Show the full output of the selected directive."""
        if self.entry is not None:
            self.app.push_screen(DirectiveOutputScreen(self.store, self.entry.id))

    def _empty_page(self) -> Content:
        if not self.loader.has_data:
            return Content.styled(self.loader.status, "$text-muted")
        if self.context.readonly:
            hint = Content("")
        else:
            action, purpose = ("run", "run one") if self.store.tasks else ("new-task", "create one")
            keys = ((BY_ID["tasks"].key, "bold $key"), " to show the tasks, then ", (BY_ID[action].key, "bold $key"))
            hint = Content.assemble("Press ", *keys, f" to {purpose}.")
        return Content.assemble(
            ("There are no directives yet.\n\n", "bold"),
            "Every command, whether sent from here or from the command line, is listed here with its outcome.\n\n",
            hint,
        )

    @on(Table.Activated)
    async def _row_activated(self, event: Table.Activated) -> None:
        event.stop()
        await self.action_act("directive-output")

    @on(Table.Selected)
    def _show_selected(self) -> None:
        """Show the selected directive in full, for which its row may be too narrow."""
        entry = self.entry
        self.query_one("#ledger-entry").set_class(entry is not None, "-shown")
        self.set_text("#ledger-entry", Content("\n").join(self._lines(entry)) if entry is not None else Content(""))

    def _lines(self, entry: Entry) -> list[Content]:
        width = max(12, self.size.width - 4)
        lines = list(hanging(Content(""), self.stages(entry), width, "$text-muted"))
        output = [line for text in entry.lines for line in hanging(Content(""), plain(text, 2000), width, "")]
        command = list(hanging(Content.styled("$ ", "$text-muted"), plain(entry.command), width, "$text-accent"))
        room = max(2, int(self.size.height * _MAX_SHARE) - len(lines) - len(command))
        if len(output) > room:
            left = len(output) - room + 1
            output = [
                *output[: room - 1],
                Content.styled(f"{format_count(left, 'more line')} – enter shows all", "$text-warning"),
            ]
        lines += output
        return lines + (command if entry.command else [])

    def stages(self, entry: Entry) -> str:
        """Return a sentence about the progress or outcome of a directive."""
        requested = f"requested {self._at(entry.at)}{_origin(entry)}"
        if entry.completed_at is not None:
            took = format_measurement(max(0.0, (entry.completed_at - entry.at).total_seconds()))
            return f"{requested}, {entry.stage} after {took}"
        words = {
            ledger.SENT: "sent; the engine has not answered yet",
            ledger.ACCEPTED: "accepted, in progress",
            ledger.LOST: "accepted, but the engine ended before it was completed",
            ledger.UNANSWERED: "sent, but the engine did not answer",
        }
        return f"{requested}, {words.get(entry.stage, entry.stage)}"

    def _cells(self, key: str) -> Mapping[str, Content]:
        entry = self.store.ledger.entries.get(key)
        if entry is None:
            return {}
        mark, style = _MARKS.get(entry.stage, ("·", "$text-muted"))
        is_bad = style == "$text-error"
        return {
            "mark": Content.styled(mark, style),
            "when": Content.styled(self._when(entry.at), "$text-muted"),
            "what": Content.assemble((f"{plain(entry.verb)} ", "bold"), plain(entry.target)),
            "stage": Content.styled(entry.stage, style),
            "user": Content.styled(plain(entry.user or entry.sender), "$text-muted"),
            "answer": Content.styled(plain(_summary_line(entry)), "$text-error" if is_bad else ""),
            "command": Content.styled(plain(entry.command), "$text-muted"),
        }

    def _when(self, moment: datetime) -> str:
        """Return a past time, to the second if it is today."""
        at = format_calendar(moment, self.now, self.store.zone)
        return format_clock(moment, self.store.zone) if at.startswith("today") else at

    def _at(self, moment: datetime) -> str:
        return format_day_and_clock(moment, self.now, self.store.zone)


def _summary_line(entry: Entry) -> str:
    """Return the most informative line: the first, or the last of a successful build, which says when it is due."""
    if not entry.lines:
        return ""
    return entry.lines[-1 if entry.verb == "build" and entry.stage == ledger.DONE else 0]


def _origin(entry: Entry) -> str:
    """Return the user and the program that sent a directive: " by root (sudo from alice, as claimed) via keiji"."""
    user = f" by {plain(entry.user)}" if entry.user else ""
    claim = f" (sudo from {plain(entry.sudo_user)}, as claimed)" if entry.sudo_user else ""
    program = f" via {plain(entry.sender)}" if entry.sender else ""
    return f"{user}{claim}{program}"
