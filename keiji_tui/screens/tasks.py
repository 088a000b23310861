"""The list of tasks, and the log of the selected one: below the list, or beside it on a wide screen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from keiji_engine.bus.views import TaskView
from keiji_tui.actions import bulk, catalog
from keiji_tui.actions.action import Action, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.bulk import BULK_ACTIONS
from keiji_tui.background import start_worker
from keiji_tui.logs.pane import LogPane
from keiji_tui.logs.view import LogView
from keiji_tui.screens.base import WIDE, BaseScreen, ScreenContext
from keiji_tui.screens.welcome import nothing_shown, welcome
from keiji_tui.state.task_index import Sort
from keiji_tui.text.format import format_names
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets import task_row
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.filter_input import FilterBar
from keiji_tui.widgets.table import Cells, Table

SETTLE_SECONDS = 0.15  # a selection that changes sooner does not subscribe to a log
_AT_ONCE = 0.001
_MIN_LOG_WIDTH = 64  # cells, of a log beside the list


class TasksScreen(BaseScreen):
    """The table of tasks and the log of the selected one."""

    BINDINGS = bindings(Scope.TASK, Scope.TASKS)
    SCOPES = (Scope.TASK, Scope.TASKS)
    AUTO_FOCUS = "#tasks"

    def __init__(self, context: ScreenContext, *, task: str | None = None) -> None:
        super().__init__(context)
        self._is_welcoming = True
        self.log_pane = LogPane(id="log-pane")
        self._initial_task = task
        self._awaited_slug = ""
        self._table_height = 0
        self._list_width = 0  # of the list beside the log; 0 if the log is below it
        self._layout_revision = -1
        self._content_widths: dict[str, int] = {}
        self._follow_timer: Timer | None = None
        self._selected_at = -SETTLE_SECONDS  # on the monotonic clock

    def body(self) -> ComposeResult:
        yield FilterBar()
        yield Static(id="welcome")
        with Container(id="panes") as panes:
            panes.display = False
            with Container(id="list"):
                yield Table(task_row.COLUMNS, self._cells, id="tasks")
                yield AdaptiveLine(id="offer")
            yield self.log_pane

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    @property
    def selected_task(self) -> TaskView | None:
        return self.store.tasks.get(self.table.selected or "")

    @property
    def has_task_list_keys(self) -> bool:
        return not self.log_pane.has_focus_within

    @property
    def scopes(self) -> tuple[Scope, ...]:
        if self._is_welcoming:
            return ()
        return (Scope.LOG,) if self.log_pane.has_focus_within else self.SCOPES

    def footer_actions(self) -> Sequence[Action]:
        first = [catalog.BY_ID["new-task"]] if self._is_welcoming and self.store.is_live else []
        return [*first, *super().footer_actions()]

    def is_hidden(self, action: Action) -> bool:
        if action.id == "back":
            return not (
                self.store.index.is_filtered
                or self.store.marks
                or self.log_pane.has_focus_within
                or self.has_class("-zoom-table")
            )
        return (action.id == "logs" and not self.scopes) or self.log_pane.is_idle(action) or super().is_hidden(action)

    def _cells(self, slug: str) -> Cells:
        task = self.store.tasks.get(slug)
        # Values are frozen at the last update while the engine is offline.
        now = self.now if self.store.is_live else self.store.heard_at or self.now
        return task_row.task_cells(task, self.store, now) if task else {}

    def on_resize(self) -> None:
        self.repaint()

    def _lay_out_panes(self) -> None:
        """Put the log beside the list on a wide screen, and otherwise below it.

        Beside it, the list is as wide as its content, up to three fifths of the screen. Above it, the table is as high
        as its rows, up to three fifths of the screen. The log gets the rest.
        """
        wide, height = self.size.width, 0
        width = min(self.table.content_width, max(wide * 3 // 5, WIDE - _MIN_LOG_WIDTH)) if wide >= WIDE else 0
        if not width:
            height = max(4, min(len(self.store.tasks) + 2, (self.size.height - 5) * 3 // 5))
        if (self._list_width, self._table_height) != (width, height):
            self._list_width, self._table_height = width, height
            self.set_class(bool(width), "-beside")
            self.query_one("#list").styles.width = width or "1fr"
            self.table.styles.height = height or "1fr"

    def paint_body(self, now: datetime) -> None:
        store = self.store
        text = welcome(store, readonly=self.context.readonly)
        self._show_welcome(text)
        if text is None and self.focused is None:
            self.set_focus(self.table)  # a hidden table loses the focus
        if self._layout_revision != store.layout_revision:
            self._layout_revision = store.layout_revision
            self._content_widths = task_row.content_widths(store.tasks.values())
        index = store.index
        self.table.empty_text = nothing_shown(store)
        order = (index.sort.column, index.descending)
        self.table.set_rows(store.visible_slugs(), self._content_widths, marked=store.marks, sorted_by=order)
        if self._initial_task and store.tasks:
            slug = next((s for s, task in store.tasks.items() if self._initial_task in (s, task.name)), None)
            if slug is None:
                self.app.notify(f"there is no task {plain(self._initial_task)}", severity="warning", markup=False)
            self.table.select(slug or "")
            self._initial_task = None
        if self._awaited_slug in store.tasks:
            self.table.select(self._awaited_slug)
            self._awaited_slug = ""
        self._lay_out_panes()
        self._paint_offer()
        self.log_pane.set_clock(store.zone, now.astimezone(store.zone).date(), is_live=store.is_live)

    def _show_welcome(self, text: Content | None) -> None:
        """Show a text in place of the table and the log, or these if there is none."""
        self._is_welcoming = text is not None
        static = self.query_one("#welcome", Static)
        static.display = self._is_welcoming
        self.query_one("#panes").display = not self._is_welcoming
        if text is not None:
            static.update(text)

    def _paint_offer(self) -> None:
        offer = self.store.rebuild_offer(self.table.selected)
        line = self.query_one("#offer", AdaptiveLine)
        line.set_class(offer is not None, "-shown")
        if offer is None:
            return
        name = plain(offer.name)
        what = plain(offer.source_error) or format_names([plain(path) for path in offer.source_changes])
        verb = "cannot be built" if offer.source_error else "differ"
        left = Content.assemble(("◆ ", "$text-warning"), f"sources of {name} {verb}: ", (what, "$text-warning"))
        brief = Content.assemble(("◆ ", "$text-warning"), f"{name}: ", (what, "$text-warning"))
        line.set_variants(*((text, keys) for keys in self._offer_keys(offer) for text in (left, brief)))

    def _offer_keys(self, offer: TaskView) -> list[Content]:
        if offer.slug != self.table.selected:
            return [_keys(("offered", "go to the task"))]
        if self.store.pending_of(offer) == "build":
            return [Content.styled("building …", "$text-warning")]
        if offer.source_error:  # such as a syntax error, or a folder that does not exist: a build would fail
            return [_keys(("difference", "compare"), ("dismiss", "later")), _keys(("dismiss", "later"))]
        return [
            _keys(("difference", "compare"), ("build", "rebuild and restart"), ("dismiss", "later")),
            _keys(("difference", "compare"), ("build", "rebuild")),
            _keys(("build", "rebuild")),
        ]

    # ── events ────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Table.Selected)
    def _row_selected(self, event: Table.Selected) -> None:
        event.stop()
        self._show_log()
        self.repaint()

    @on(Table.Activated)
    async def _row_activated(self, event: Table.Activated) -> None:
        event.stop()
        await self.action_act("detail")

    @on(Table.TitleClicked)
    def _title_clicked(self, event: Table.TitleClicked) -> None:
        event.stop()
        sort = next((sort for sort in Sort if sort.column == event.column), None)
        if sort is not None:
            self.store.index.sort_by(sort)
            self.paint(self.now)

    @on(FilterBar.Changed)
    def _filter_changed(self, event: FilterBar.Changed) -> None:
        self.store.name_filter = event.text
        self.paint(self.now)

    @on(FilterBar.Closed)
    def _filter_closed(self, event: FilterBar.Closed) -> None:
        if not event.is_kept:
            self.drop_filter()
        self.set_focus(self.table)

    # ── the log of the selected task ─────────────────────────────────────────────────────────────────────────────────

    def _show_log(self) -> None:
        """Show the log of the selected task. Follow it once the selection stays; the first change counts at once."""
        task = self.selected_task
        self.workers.cancel_group(self, "log")
        self.log_pane.show({task.slug: task.name} if task else {})
        if self._follow_timer is not None:
            self._follow_timer.stop()
        before, self._selected_at = self._selected_at, time.monotonic()
        is_first = self._selected_at - before > SETTLE_SECONDS
        self._follow_timer = self.set_timer(_AT_ONCE if is_first else SETTLE_SECONDS, self.reconnected)

    def reconnected(self) -> None:
        """Follow the log of the selected task."""
        self.workers.cancel_group(self, "log")
        if self.is_ready and self.selected_task is not None:
            start_worker(self, partial(self.log_pane.follow, self.context.link), group="log", exclusive=True)

    # ── actions ────────────────────────────────────────────────────────────────────────────────────────────

    def await_task(self, slug: str) -> None:
        """Select a task as soon as it exists, and clear the filter, which might hide it."""
        self._awaited_slug = slug
        self.drop_filter()

    def reveal(self, slug: str) -> None:
        """Select a task, and clear a filter that hides it."""
        if slug not in self.store.visible_slugs():
            self.drop_filter()
        self.table.select(slug)

    async def action_filter(self) -> None:
        """Open the filter line."""
        self.query_one(FilterBar).open()

    def drop_filter(self) -> bool:
        """Show all tasks; return whether some were hidden."""
        was_set = self.store.index.clear_filters()
        self.query_one(FilterBar).clear()
        self.paint(self.now)
        return was_set

    def action_next_status(self) -> None:
        """Show the tasks in the next state that any task is in."""
        self.store.index.next_status(self.store.tasks.values())
        self.repaint()

    def action_next_sort(self) -> None:
        """Sort by the next column."""
        self.store.index.next_sort()
        self.repaint()

    def action_reverse_sort(self) -> None:
        """Reverse the sort order."""
        self.store.index.sort_by(self.store.index.sort)
        self.repaint()

    def action_copy_names(self) -> None:
        """Copy the names of the marked tasks, or of the selected one."""
        self.app.copy_to_clipboard(bulk.names_of(self._targets))

    def action_copy_commands(self) -> None:
        """Copy the commands that run the marked tasks, or the selected one."""
        self.app.copy_to_clipboard(bulk.commands_of(self._targets))

    def action_mark_task(self) -> None:
        """Mark or unmark the selected task, and select the next one."""
        if self.table.selected is not None:
            self.store.mark(self.table.selected)
            self.table.action_rows(1)
            self.paint(self.now)

    @property
    def marked_tasks(self) -> Sequence[TaskView]:
        return [self.store.tasks[slug] for slug in self.store.marks]

    @property
    def _targets(self) -> Sequence[TaskView]:
        """The marked tasks, or else the selected one."""
        return self.marked_tasks or ([self.selected_task] if self.selected_task else [])

    @property
    def is_closable(self) -> bool:
        return False

    def disabled_reason(self, action: Action) -> str:
        """Return why an action is disabled; for marked tasks, it has to be disabled for each of them."""
        if action.id not in BULK_ACTIONS or not self.store.marks:
            return super().disabled_reason(action)
        plan = bulk.plan(action, self.action_context, self.marked_tasks)
        return "" if plan.steps else plan.skipped[0][1]

    def action_other_pane(self) -> None:
        """Move the focus from the table to the log and back."""
        if isinstance(self.focused, LogView):
            self.remove_class("-zoom-log")
            self.set_focus(self.table)
        else:
            self.remove_class("-zoom-table")
            self.set_focus(self.query_one(LogView))
        self.repaint()

    def action_zoom(self) -> None:
        """Maximise or restore the focused pane."""
        self.toggle_class("-zoom-log" if isinstance(self.focused, LogView) else "-zoom-table")

    def open_log(self) -> None:
        """Maximise the log."""
        self.remove_class("-zoom-table")
        self.add_class("-zoom-log")
        self.set_focus(self.query_one(LogView))

    def go_back(self) -> bool:
        """Undo one thing that hides something; return whether there was one."""
        if self.log_pane.has_focus_within and self.log_pane.back():
            return True
        if self.has_class("-zoom-log") or self.has_class("-zoom-table"):
            self.remove_class("-zoom-log", "-zoom-table")
            self.set_focus(self.table)
            return True
        if isinstance(self.focused, LogView):
            self.set_focus(self.table)
            return True
        if self.drop_filter():
            return True
        return self.store.clear_marks()


def _keys(*pairs: tuple[str, str]) -> Content:
    parts: list[Content | tuple[str, str] | str] = []
    for action, words in pairs:
        parts += ["  " if parts else "", (catalog.BY_ID[action].key, "bold $key"), f" {words}"]
    return Content.assemble(*parts)
