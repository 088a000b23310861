"""The next 24 hours: the due instants of all tasks in order, and the hours with the most instants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from keiji.formats import zone_of
from keiji_engine.bus.protocol import Timeline
from keiji_engine.bus.views import TaskView
from keiji_tui.actions.action import Action, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.screens.base import ScreenContext
from keiji_tui.screens.list import ListScreen
from keiji_tui.screens.loading import LoadingScreen
from keiji_tui.state.due_rows import DueRow, due_rows, event_rows, hourly_counts
from keiji_tui.state.list_filter import ListFilter
from keiji_tui.state.task_state import TaskState, state_of
from keiji_tui.text.format import (
    BARS,
    abbreviate_schedule,
    format_calendar,
    format_count,
    format_due_time,
    format_until,
)
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.columns import Column
from keiji_tui.widgets.table import Table
from keiji_tui.widgets.task_row import COLOURS

HOURS = 24
RELOAD_SECONDS = 60  # so that new instants at the end of the 24 hours appear
COLUMNS = (
    Column("state", "", 1, 1, 0),
    Column("at", "WHEN", 8, 24, 1),
    Column("ahead", "", 8, 12, 4),
    Column("connector", "", 1, 1, 3, is_symbol=True),
    Column("name", "TASK", 8, 60, 2),
    Column("note", "NOTE", 4, 80, 5),
)
_HIDDEN = ("upcoming", "logs", "services", "delete", "restart", "stop", "build", "new-task")
_INACTIVE = (TaskState.DISABLED, TaskState.HELD, TaskState.PAUSED)


class UpcomingScreen(ListScreen[DueRow], LoadingScreen):
    """A row for each instant within the next 24 hours, and then for each task that waits for an event."""

    BINDINGS = bindings(Scope.TASK, Scope.DAY)
    SCOPES = (Scope.TASK, Scope.DAY)
    AUTO_FOCUS = "#upcoming"
    NOUN = "instants"
    FILTER_PROMPT = "filter by task name"

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self._timeline: Timeline | None = None
        self._loaded_at = self.now
        self._all_rows: dict[str, DueRow] = {}
        self._loads = 0
        self._rows: dict[str, DueRow] = {}  # the rows of ``_all_rows`` that are still to come
        self._rows_key: object = None  # what ``_rows`` depends on, besides the time
        self._rows_until = self.now  # when the first of ``_rows`` is past
        self._rows_revision = 0
        self._content_widths: dict[str, int] = {}
        self._summary = ""
        self._hours_key: object = None  # what the bars depend on
        self._has_hours = True

    def create_filter(self) -> ListFilter[DueRow]:
        return ListFilter(self._search_text)

    def _search_text(self, row: DueRow) -> str:
        task = self.store.tasks.get(row.slug)
        return f"{task.name if task else ''}\n{row.slug}"

    def body(self) -> ComposeResult:
        yield AdaptiveLine(id="upcoming-title", classes="title")
        yield self.filter_line()
        yield Static(id="upcoming-hours")
        yield Static(id="upcoming-empty", classes="empty")
        yield Table(COLUMNS, self._cells, id="upcoming")

    @property
    def rows(self) -> Mapping[str, DueRow]:
        return self._rows

    @property
    def selected_task(self) -> TaskView | None:
        row = self._rows.get(self.table.selected or "")
        return self.store.tasks.get(row.slug) if row else None

    def copy_lines(self) -> Sequence[str]:
        return [plain(self.selected_task.name)] if self.selected_task else ()

    def is_hidden(self, action: Action) -> bool:
        return action.id in _HIDDEN or super().is_hidden(action)

    async def load(self) -> None:
        self._loaded_at = self.now
        self._timeline = await self.context.link.timeline()
        self._all_rows = due_rows(self._timeline)
        self._loads += 1

    def paint_body(self, now: datetime) -> None:
        store = self.store
        as_of = now if store.is_live else store.heard_at or now
        if not self.loader.is_loading:
            boot = store.engine.boot if store.engine else ""
            self.loader.update((boot, store.schedule_revision, int(now.timestamp()) // RELOAD_SECONDS))
        self._update_rows(as_of)
        titles = [Content.styled("next 24 hours", "bold"), Content.styled("24 h", "bold")]
        self.show_title("#upcoming-title", titles, self._summary, self.loader.status)
        self.set_class(not self._rows, "-empty")
        if self._rows and self.focused is None:
            self.set_focus(self.table)  # a hidden table cannot have the focus
        if not self._rows:
            self.set_text("#upcoming-empty", self._empty_page())
        self.show_rows(self._content_widths)
        self._paint_hours(as_of)

    def on_resize(self) -> None:
        if self.is_ready:
            self.paint_body(self.now)

    @on(Table.Activated)
    async def _row_activated(self, event: Table.Activated) -> None:
        event.stop()
        await self.action_act("detail")

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _update_rows(self, now: datetime) -> None:
        """Keep the rows that are still to come. An unchanged list of ten thousand rows costs nothing."""
        store = self.store
        key = (self._loads, store.schedule_revision, store.layout_revision, store.pause)
        if self._timeline is None or (key == self._rows_key and now < self._rows_until):
            return
        tasks = store.tasks
        rows = {
            key: row for key, row in self._all_rows.items() if row.slug in tasks and (row.is_frequent or row.at > now)
        }
        self._rows_until = next(
            (row.at for row in rows.values() if not row.is_frequent), datetime.max.replace(tzinfo=UTC)
        )
        rows |= event_rows(tasks.values(), now)
        if key != self._rows_key or rows.keys() != self._rows.keys():
            schedules = [
                abbreviate_schedule(plain(tasks[row.slug].schedule_description))
                for row in rows.values()
                if row.is_frequent
            ] + [plain(tasks[row.slug].next_event) for row in rows.values() if row.is_event]
            self._content_widths = {
                "name": _widest({tasks[row.slug].name for row in rows.values()}),
                "at": _widest(["Tue 00:00", *schedules]),
                "ahead": 9,
                "note": _widest({self._note(row, tasks[row.slug]) for row in rows.values()}),
            }
        self._rows_key, self._rows = key, rows
        self._rows_revision += 1
        self._summary = self._summarise()

    def _note(self, row: DueRow, task: TaskView) -> str:
        """Return remarks on an instant: simultaneous ones, why it will not start, and its own note."""
        state = state_of(task)
        inactive = state.label if state in _INACTIVE else "paused" if self.store.pause is not None else ""
        together = f"{row.simultaneous} at once" if row.connector == "┌" else ""
        own = ""
        if task.zone and not (
            row.is_frequent or row.is_event or row.is_skipped
        ):  # the column shows the time in the zone of the workspace
            local = row.at.astimezone(zone_of(task.zone, self.store.zone))
            own = f"{local:%H:%M} {local:%Z}"
        event = "; ".join(task.events) if row.is_event and task.events != (task.next_event,) else ""
        return ", ".join(filter(None, (together, inactive, own, plain(row.note), plain(event))))

    def _cells(self, key: str) -> Mapping[str, Content]:
        row = self._rows.get(key)
        task = self.store.tasks.get(row.slug) if row else None
        if row is None or task is None:
            return {}
        state = state_of(task)
        is_off = state in _INACTIVE or row.is_skipped or self.store.pause is not None
        quiet = "$text-disabled" if is_off else "$text-muted"
        has_no_time = row.is_event or (is_off and row.is_frequent)
        now = self.now if self.store.is_live else self.store.heard_at or self.now
        due = task.next_execution_time or row.at if row.is_frequent else row.at
        ahead = "" if has_no_time else format_until(due, now, self.store.zone)
        return {
            "state": Content.styled(state.glyph, COLOURS[state]),
            "at": Content.styled(self._at(row, task), quiet if row.is_frequent or row.is_event or is_off else ""),
            "ahead": Content.styled(ahead if ahead.startswith(("in ", "now")) else "", quiet),
            "connector": Content.styled(row.connector, "$text-warning"),
            "name": Content.styled(plain(task.name), quiet if is_off else "bold"),
            "note": Content.styled(self._note(row, task), "$text-warning" if row.is_skipped else quiet),
        }

    def _at(self, row: DueRow, task: TaskView) -> str:
        if row.is_frequent:
            return abbreviate_schedule(plain(task.schedule_description))
        if row.is_event:
            return plain(task.next_event)
        return format_due_time(row.at, self.now, self.store.zone)

    # ── the bars, and the empty page ───────────────────────────────────────────────────────────────────────────

    def _summarise(self) -> str:
        found = self._timeline
        if found is None:
            return ""
        events = sum(row.is_event for row in self._rows.values())
        often = sum(row.is_frequent for row in self._rows.values())
        instants = len(self._rows) - often - events
        parts = [format_count(instants, "due time")] if instants else []
        parts += [format_count(often, "frequent task")] if often else []
        parts += [f"{format_count(events, 'task')} on event"] if events else []
        if parts and found.until < self._loaded_at + timedelta(hours=HOURS, minutes=-1):
            parts.append(f"complete until {format_calendar(found.until, self.now, self.store.zone)}")
        return ", ".join(parts)

    def _paint_hours(self, now: datetime) -> None:
        """Show a bar for each of the coming hours, whose height is the number of instants, above the hours."""
        zone, width = self.store.zone, self.size.width
        first = now.astimezone(zone).replace(minute=0, second=0, microsecond=0)
        keys = self.list_filter.visible_keys(self._rows)
        hours_key = (self._rows_revision, self.list_filter.text, first, width)
        if hours_key == self._hours_key:
            return
        self._hours_key = hours_key
        counts = hourly_counts((self._rows[key] for key in keys), now, zone)
        hours = _hours(counts, first, width) if counts else Content("")
        if self._has_hours != bool(hours):
            self._has_hours = bool(hours)
            self.query_one("#upcoming-hours").display = bool(hours)
        self.set_text("#upcoming-hours", hours)

    def _empty_page(self) -> Content:
        if not self.loader.has_data:
            return Content.styled(self.loader.status, "$text-muted")
        return Content.assemble(
            ("Nothing is due within the next 24 hours.\n\n", "bold"),
            "Press ", (BY_ID["tasks"].key, "bold $key"), " to show the tasks, then ",
            (BY_ID["why"].key, "bold $key"), " to see when one is due next.",
        )  # fmt: skip


def _hours(counts: Counter[int], first: datetime, width: int) -> Content:
    most = max(counts.values())
    cell = max(1, min(3, (width - 2) // (HOURS + 1)))
    bars: list[tuple[str, str]] = []
    hours = ""
    for number in range(HOURS + 1):
        count = counts[number]
        bar = BARS[max(0, round(count / most * len(BARS)) - 1)] if count else " "
        bars.append((bar * max(1, cell - 1) + " " * (cell > 1), "$text-warning" if count == most > 1 else "$bar"))
        hour = (first.astimezone(UTC) + timedelta(hours=number)).astimezone(first.tzinfo)
        hours = hours.ljust(number * cell)
        step = 1 if cell == 3 else 3
        if hour.hour % step == 0 and len(hours) == number * cell:
            hours += f"{hour:%H}"
    peak = f" at most {most} per hour" if width > (HOURS + 1) * cell + 24 else ""
    return Content.assemble(" ", *bars, (peak, "$text-muted"), "\n ", (hours[: width - 2], "$text-muted"))


def _widest(texts: Iterable[str]) -> int:
    return max((Content(plain(text)).cell_length for text in texts), default=0)
