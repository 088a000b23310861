"""The tasks, live, and the log of the selected one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from keiji_engine.bus.views import TaskView
from keiji_tui.actions import catalog
from keiji_tui.actions.action import Action, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.logs.pane import LogPane
from keiji_tui.logs.view import LogView
from keiji_tui.messages import FilterChanged, FilterLeft, RepaintRequested, TaskSelected
from keiji_tui.screens.base import BaseScreen
from keiji_tui.screens.welcome import nothing_shown, welcome
from keiji_tui.state.store import Store
from keiji_tui.state.task_index import Sort
from keiji_tui.text.format import format_names
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets import task_row
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.filter_input import FilterBar
from keiji_tui.widgets.table import Cells, Table


class TasksScreen(BaseScreen):
    """The table of tasks over the log of the selected one."""

    BINDINGS = bindings(Scope.TASK, Scope.TASKS)
    ABOUT = (Scope.TASK, Scope.TASKS)
    AUTO_FOCUS = "#tasks"

    def __init__(self, store: Store, home: str, *, readonly: bool, task: str | None = None) -> None:
        super().__init__(store, home, readonly=readonly)
        self.log_pane = LogPane(id="log-pane")
        self._asked_for = task
        self._awaited = ""
        self._table_height = 0
        self._shape = -1
        self._wanted: dict[str, int] = {}

    def body(self) -> ComposeResult:
        yield FilterBar()
        yield Table(task_row.COLUMNS, self._cells, id="tasks")
        yield Static(id="welcome")
        yield AdaptiveLine(id="offer")
        yield self.log_pane

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    @property
    def subject(self) -> TaskView | None:
        return self.store.tasks.get(self.table.selected or "")

    @property
    def has_list_keys(self) -> bool:
        return not self.log_pane.has_focus_within

    @property
    def places(self) -> tuple[Scope, ...]:
        if self.has_class("-welcome"):
            return ()
        return (Scope.LOG,) if self.log_pane.has_focus_within else self.ABOUT

    def keys(self) -> Sequence[Action]:
        first = [catalog.BY_ID["new-task"]] if self.has_class("-welcome") and self.store.is_live else []
        return [*first, *super().keys()]

    def is_idle(self, action: Action) -> bool:
        if action.id == "back":
            return not (
                self.store.index.is_filtered
                or self.store.marks
                or self.log_pane.has_focus_within
                or self.has_class("-zoom-table")
            )
        return (action.id == "logs" and not self.places) or self.log_pane.is_idle(action) or super().is_idle(action)

    def _cells(self, slug: str) -> Cells:
        task = self.store.tasks.get(slug)
        # What nobody tells any more stands still: it is shown as of when it was true.
        now = self.now if self.store.is_live else self.store.heard_at or self.now
        return task_row.task_cells(task, self.store, now) if task else {}

    def on_resize(self) -> None:
        self.post_message(RepaintRequested())

    def _share_room(self) -> None:
        """Give the table what its rows take, up to three fifths, and the log the rest."""
        room = self.size.height - 5
        height = max(4, min(len(self.store.tasks) + 2, room * 3 // 5))
        if self._table_height != height:
            self._table_height = height
            self.table.styles.height = height

    def paint_body(self, now: datetime) -> None:
        store = self.store
        text = welcome(store, readonly=self.readonly)
        self.set_class(text is not None, "-welcome")
        if text is not None:
            self.query_one("#welcome", Static).update(text)
        elif self.focused is None:
            self.set_focus(self.table)  # it loses the focus while it is hidden
        if self._shape != store.layout_revision:
            self._shape, self._wanted = store.layout_revision, task_row.content_widths(store.tasks.values())
        listing = store.index
        self.table.empty_text = nothing_shown(store)
        self.table.set_rows(
            store.visible_slugs(), self._wanted, marked=store.marks, sorted_by=(listing.sort.column, listing.descending)
        )
        if self._asked_for and store.tasks:
            slug = next((s for s, task in store.tasks.items() if self._asked_for in (s, task.name)), None)
            if slug is None:
                self.app.notify(f"there is no task {plain(self._asked_for)}", severity="warning", markup=False)
            self.table.select(slug or "")
            self._asked_for = None
        if self._awaited in store.tasks:
            self.table.select(self._awaited)
            self._awaited = ""
        self._share_room()
        self._paint_offer()
        self.log_pane.at(store.zone, now.astimezone(store.zone).date(), is_live=store.is_live)

    def _paint_offer(self) -> None:
        offer = self.store.rebuild_offer(self.table.selected)
        line = self.query_one("#offer", AdaptiveLine)
        line.set_class(offer is not None, "-shown")
        if offer is None:
            return
        name = plain(offer.name)
        what = plain(offer.source_error) or format_names([plain(path) for path in offer.source_changes])
        left = Content.assemble(("◆ ", "$text-warning"), f"sources of {name} differ: ", (what, "$text-warning"))
        brief = Content.assemble(("◆ ", "$text-warning"), f"{name}: ", (what, "$text-warning"))
        line.set_variants(*((text, keys) for keys in self._offer_keys(offer) for text in (left, brief)))

    def _offer_keys(self, offer: TaskView) -> list[Content]:
        if offer.slug != self.table.selected:
            return [_keys(("offered", "goes there"))]
        if self.store.pending_of(offer) == "build":
            return [Content.styled("building …", "$text-warning")]
        return [
            _keys(("difference", "shows it"), ("build", "rebuild and restart"), ("dismiss", "later")),
            _keys(("difference", "shows it"), ("build", "rebuild")),
            _keys(("build", "rebuild")),
        ]

    # ── what happened ────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Table.Selected)
    def _row_selected(self, event: Table.Selected) -> None:
        event.stop()
        self.post_message(TaskSelected(event.key))

    @on(Table.Activated)
    async def _row_activated(self, event: Table.Activated) -> None:
        event.stop()
        await self.app.run_action("act('detail')")

    @on(Table.TitleClicked)
    def _title_clicked(self, event: Table.TitleClicked) -> None:
        event.stop()
        sort = next((sort for sort in Sort if sort.column == event.column), None)
        if sort is not None:
            self.store.index.sort_by(sort)
            self.paint(self.now)

    @on(FilterChanged)
    def _filter_changed(self, event: FilterChanged) -> None:
        self.store.name_filter = event.text
        self.paint(self.now)

    @on(FilterLeft)
    def _filter_left(self, event: FilterLeft) -> None:
        if not event.is_kept:
            self.drop_filter()
        self.query_one(FilterBar).close()
        self.set_focus(self.table)

    # ── what keys do here ────────────────────────────────────────────────────────────────────────────────────────────

    def await_task(self, slug: str) -> None:
        """Select a task as soon as there is one of that name, and hide nothing that could be it."""
        self._awaited = slug
        self.drop_filter()

    def open_filter(self) -> None:
        """Let a filter be typed."""
        self.query_one(FilterBar).open()

    def drop_filter(self) -> bool:
        """Show all tasks; return whether some were hidden."""
        was_set = self.store.index.clear_filters()
        self.query_one(FilterBar).clear()
        self.paint(self.now)
        return was_set

    def mark(self) -> None:
        """Mark the selected task or take its mark away, and go on to the next one."""
        if self.table.selected is not None:
            self.store.mark(self.table.selected)
            self.table.action_rows(1)
            self.paint(self.now)

    @property
    def subjects(self) -> list[TaskView]:
        """The tasks that are marked, or else the selected one."""
        marked = [self.store.tasks[slug] for slug in self.store.marks]
        return marked or ([self.subject] if self.subject else [])

    def other_pane(self) -> None:
        """Move the focus from the table to the log and back."""
        if isinstance(self.focused, LogView):
            self.remove_class("-zoom-log")
            self.set_focus(self.table)
        else:
            self.remove_class("-zoom-table")
            self.set_focus(self.query_one(LogView))

    def zoom(self) -> None:
        """Give the focused pane the whole screen, or take it back."""
        self.toggle_class("-zoom-log" if isinstance(self.focused, LogView) else "-zoom-table")

    def open_log(self) -> None:
        """Give the log the whole screen."""
        self.remove_class("-zoom-table")
        self.add_class("-zoom-log")
        self.set_focus(self.query_one(LogView))

    def back(self) -> bool:
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
        has_unmarked = self.store.clear_marks()
        self.paint(self.now)
        return has_unmarked


def _keys(*pairs: tuple[str, str]) -> Content:
    parts: list[Content | tuple[str, str] | str] = []
    for action, words in pairs:
        parts += ["  " if parts else "", (catalog.BY_ID[action].key, "bold $key"), f" {words}"]
    return Content.assemble(*parts)
