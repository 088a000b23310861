"""The backfills of all tasks, newest first, with their progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from keiji.reasons import render
from keiji.states import BackfillState
from keiji_engine.bus.views import BackfillView, TaskView
from keiji_tui.actions import requests
from keiji_tui.actions.action import Action, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.screens.base import ScreenContext
from keiji_tui.screens.list import ListScreen
from keiji_tui.screens.loading import LoadingScreen
from keiji_tui.state.backfills import backfills_filter, format_instant, progress_bar
from keiji_tui.state.list_filter import ListFilter
from keiji_tui.text.commands import command_line
from keiji_tui.text.format import format_age, format_count
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.columns import Column
from keiji_tui.widgets.table import Table

LIMIT = 200
RELOAD_SECONDS = 10  # events do not say what a backfill waits for
COLUMNS = (
    Column("mark", "", 1, 1, 0),
    Column("id", "ID", 2, 6, 4, align_right=True),
    Column("task", "TASK", 8, 40, 1),
    Column("progress", "PROGRESS", 10, 10, 3),
    Column("done", "DONE", 5, 13, 2, align_right=True),
    Column("state", "STATE", 7, 8, 5),
    Column("failed", "FAILED", 6, 6, 6, align_right=True),
    Column("first", "FROM", 10, 19, 7),
    Column("last", "TO", 10, 19, 8),
    Column("age", "STARTED", 8, 18, 9),
)
_MARKS = {
    BackfillState.RUNNING: ("▶", "$text-accent"),
    BackfillState.STOPPED: ("‖", "$text-warning"),
    BackfillState.DONE: ("●", "$text-success"),
}


class BackfillsScreen(ListScreen[BackfillView], LoadingScreen):
    """A row per backfill."""

    BINDINGS = bindings(Scope.BACKFILL)
    SCOPES = (Scope.BACKFILL,)
    AUTO_FOCUS = "#backfills"
    NOUN = "backfills"
    FILTER_PROMPT = "filter by task, schedule or id"

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self._rows: dict[str, BackfillView] = {}
        self._known: Mapping[int, BackfillView] | None = None  # the backfills that `_rows` shows

    def create_filter(self) -> ListFilter[BackfillView]:
        return backfills_filter()

    def body(self) -> ComposeResult:
        yield AdaptiveLine(id="backfills-title", classes="title")
        yield self.filter_line()
        yield Static(id="backfills-empty", classes="empty")
        yield Table(COLUMNS, self._cells, id="backfills")
        yield Static(id="backfill-detail", classes="written-out")

    @property
    def rows(self) -> Mapping[str, BackfillView]:
        if self._known is not self.store.backfills:
            self._known = self.store.backfills
            self._rows = {str(number): view for number, view in self._known.items()}
        return self._rows

    @property
    def selected_backfill(self) -> BackfillView | None:
        return self.rows.get(self.table.selected or "")

    @property
    def selected_task(self) -> TaskView | None:
        view = self.selected_backfill
        return self.store.tasks.get(view.task) if view else None

    def copy_lines(self) -> Sequence[str]:
        for name in ("stop-backfill", "resume-backfill"):
            directive = requests.directive_for(name, self.action_context)
            if directive is not None and not BY_ID[name].disabled_reason(self.action_context):
                return [command_line(directive)]
        return ["keiji task backfill --list"]

    def is_hidden(self, action: Action) -> bool:
        view = self.selected_backfill
        if action.id in ("stop-backfill", "resume-backfill"):
            return view is None or bool(action.disabled_reason(self.action_context))
        if action.scope is Scope.BACKFILL:
            return view is None
        return action.id in ("backfills", "logs") or super().is_hidden(action)

    async def load(self) -> None:
        self.store.set_backfills(await self.context.link.backfills(LIMIT))

    @on(Table.Activated)
    async def _row_activated(self, event: Table.Activated) -> None:
        event.stop()
        await self.action_act("backfill-runs")

    # ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def paint_body(self, now: datetime) -> None:
        store = self.store
        if not self.loader.is_loading:
            states = tuple((view.id, view.state) for view in store.backfills.values())
            boot = store.engine.boot if store.engine else ""
            self.loader.update((boot, states, int(now.timestamp()) // RELOAD_SECONDS))
        running = sum(view.state is BackfillState.RUNNING for view in self.rows.values())
        note = ", ".join(
            filter(
                None,
                (
                    format_count(len(self.rows), "backfill") if self.rows else "",
                    f"{running} running" if running else "",
                ),
            )
        )
        self.show_title("#backfills-title", [Content.styled("backfills", "bold")], note, self.loader.status)
        self.set_class(not self.rows, "-empty")
        if self.rows and self.focused is None:
            self.set_focus(self.table)  # a hidden table cannot have the focus
        if not self.rows:
            self.set_text("#backfills-empty", self._empty_page())
        cells = [self._cells(key) for key in self.rows]
        widths = {column.id: max((row[column.id].cell_length for row in cells), default=0) for column in COLUMNS[1:]}
        self.show_rows(widths, newest_first=True)
        self._paint_detail()

    @on(Table.Selected)
    def _paint_detail(self) -> None:
        view = self.selected_backfill
        self.query_one("#backfill-detail").set_class(view is not None, "-shown")
        if view is not None:
            self.set_text("#backfill-detail", self._detail(view))

    def _detail(self, view: BackfillView) -> Content:
        """Return the progress in words, the schedule and the options, and what the backfill waits for."""
        options = [f"up to {view.parallel} at a time"] if view.parallel > 1 else []
        options += ["with instants that have succeeded"] if view.again else []
        lines = [
            Content(f"{view.state}, {view.progress()}"),
            Content.styled(
                plain(" · ".join((f"{view.schedule}, in {view.zone}", *options, f"created by {view.created_by}"))),
                "$text-muted",
            ),
        ]
        if view.waiting is not None:
            lines.append(Content.styled(plain(render(view.waiting, self.store.zone)), "$text-warning"))
        return Content("\n").join(lines)

    def _cells(self, key: str) -> Mapping[str, Content]:
        view = self.rows.get(key)
        if view is None:
            return {}
        task = self.store.tasks.get(view.task)
        muted = "$text-muted"
        has_failed = view.state is BackfillState.DONE and view.failed
        return {
            "mark": Content.styled(*("✗", "$text-error") if has_failed else _MARKS[view.state]),
            "id": Content.styled(str(view.id), muted),
            "task": Content.styled(plain(task.name if task else view.task), "bold"),
            "progress": Content.styled(
                progress_bar(view), "$text-accent" if view.state is BackfillState.RUNNING else ""
            ),
            "done": Content(f"{view.done}/{view.total}"),
            "state": Content(str(view.state)),
            "failed": Content.styled(str(view.failed or ""), "$text-error"),
            "first": Content.styled(format_instant(view.first, view.zone), muted),
            "last": Content.styled(format_instant(view.last, view.zone), muted),
            "age": Content.styled(format_age(view.created_at, self.now, self.store.zone), muted),
        }

    def _empty_page(self) -> Content:
        if not self.loader.has_data:
            return Content.styled(self.loader.status, "$text-muted")
        return Content.assemble(
            ("There are no backfills.\n\n", "bold"),
            "A backfill runs past instants of a schedule, for example those of a week in which a task failed.\n\n",
            (BY_ID["backfill"].key, "bold $key"), "  in the list of tasks starts one",
        )  # fmt: skip
