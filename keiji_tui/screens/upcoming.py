"""The coming day: every instant of all tasks in order, and in which hours and minutes they pile up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from keiji_engine.bus.protocol import Timeline
from keiji_engine.bus.views import DueInstant, TaskView
from keiji_tui.actions.action import Action, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.engine.link import Link
from keiji_tui.screens.list import ListScreen
from keiji_tui.screens.loading import LoadingScreen
from keiji_tui.state.list_filter import ListFilter
from keiji_tui.state.store import Store
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
AGAIN_SECONDS = 60  # after which it is asked anew, though nothing that is seen here has changed
COLUMNS = (
    Column("state", "", 1, 1, 0),
    Column("at", "WHEN", 8, 24, 1),
    Column("ahead", "", 8, 12, 4),
    Column("pile", "", 1, 1, 3, is_symbol=True),
    Column("name", "TASK", 8, 60, 2),
    Column("note", "NOTE", 4, 80, 5),
)
_ELSEWHERE = ("upcoming", "logs", "services", "delete", "restart", "stop", "build", "new-task")
_KEPT_BACK = (TaskState.DISABLED, TaskState.HELD, TaskState.PAUSED)


@dataclass(frozen=True, slots=True)
class _Row:
    """An instant of a task, or a task that is due too often for that; ``beside`` counts those of the same minute."""

    slug: str
    at: datetime
    note: str = ""
    is_skipped: bool = False
    is_often: bool = False
    pile: str = ""
    beside: int = 1


class UpcomingScreen(ListScreen[_Row], LoadingScreen):
    """A row for each instant within the next 24 hours."""

    BINDINGS = bindings(Scope.TASK, Scope.DAY)
    ABOUT = (Scope.TASK, Scope.DAY)
    AUTO_FOCUS = "#upcoming"
    NOUN = "instants"
    LETTERS = "letters of a task's name"

    def __init__(self, store: Store, home: str, *, readonly: bool) -> None:
        super().__init__(store, home, readonly=readonly)
        self._found: Timeline | None = None
        self._asked_at = self.now
        self._found_rows: dict[str, _Row] = {}
        self._rows_of: object = None
        self._rows: dict[str, _Row] = {}  # of those, what is still to come
        self._wanted: dict[str, int] = {}
        self._measured: object = None

    def new_sieve(self) -> ListFilter[_Row]:
        return ListFilter(self._letters)

    def _letters(self, row: _Row) -> str:
        task = self.store.tasks.get(row.slug)
        return f"{task.name if task else ''}\n{row.slug}"

    def body(self) -> ComposeResult:
        yield AdaptiveLine(id="upcoming-title", classes="title")
        yield self.filter_line()
        yield Static(id="upcoming-hours")
        yield Static(id="upcoming-empty", classes="empty")
        yield Table(COLUMNS, self._cells, id="upcoming")

    @property
    def rows(self) -> Mapping[str, _Row]:
        return self._rows

    @property
    def subject(self) -> TaskView | None:
        row = self._rows.get(self.table.selected or "")
        return self.store.tasks.get(row.slug) if row else None

    def copied(self) -> Sequence[str]:
        return [plain(self.subject.name)] if self.subject else ()

    def is_idle(self, action: Action) -> bool:
        return action.id in _ELSEWHERE or super().is_idle(action)

    async def ask(self, link: Link) -> None:
        self._asked_at = self.now
        self._found = await link.timeline()

    def paint_body(self, now: datetime) -> None:
        store = self.store
        as_of = now if store.is_live else store.heard_at or now
        if not self.is_asking:
            tasks = tuple((task.slug, task.build, task.is_disabled, task.schedule) for task in store.tasks.values())
            boot = store.engine.boot if store.engine else ""
            self.ask_where_changed((boot, hash(tasks), int(now.timestamp()) // AGAIN_SECONDS))
        self._arrange(as_of)
        titles = [Content.styled("next 24 hours", "bold"), Content.styled("24 h", "bold")]
        self.put_title("#upcoming-title", titles, self._sum(), self.standing)
        self.set_class(not self._rows, "-empty")
        if self._rows and self.focused is None:
            self.set_focus(self.table)  # it cannot have the focus while it is hidden
        if not self._rows:
            self.put("#upcoming-empty", self._nothing())
        self.put_rows(self._wanted)
        hours = self._hours(as_of)
        self.query_one("#upcoming-hours").display = bool(hours)
        self.put("#upcoming-hours", hours)

    def on_resize(self) -> None:
        if self.is_ready:
            self.paint_body(self.now)

    @on(Table.Activated)
    async def _row_activated(self, event: Table.Activated) -> None:
        event.stop()
        await self.app.run_action("act('detail')")

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _arrange(self, now: datetime) -> None:
        """Have a row for what is still to come."""
        found = self._found
        if found is None:
            return
        if self._rows_of is not found:
            self._rows_of = found
            self._found_rows = {
                f"often {often.task}": _Row(often.task, often.next_at, is_often=True) for often in found.frequent_tasks
            } | {
                f"{due.at.timestamp():.6f} {due.task}": _Row(
                    due.task, due.at, due.note, due.is_skipped, pile=pile, beside=beside
                )
                for due, (pile, beside) in zip(found.instants, _piles(found.instants), strict=True)
            }
        tasks = self.store.tasks
        rows = {
            key: row for key, row in self._found_rows.items() if row.slug in tasks and (row.is_often or row.at > now)
        }
        measured = (rows.keys(), self.store.layout_revision, self.store.pause)
        if measured != self._measured:
            self._measured = measured
            schedules = [
                abbreviate_schedule(plain(tasks[row.slug].schedule_description))
                for row in rows.values()
                if row.is_often
            ]
            self._wanted = {
                "name": _widest({tasks[row.slug].name for row in rows.values()}),
                "at": _widest(["Tue 00:00", *schedules]),
                "ahead": 9,
                "note": _widest({self._note(row, tasks[row.slug]) for row in rows.values()}),
            }
        self._rows = rows

    def _note(self, row: _Row, task: TaskView) -> str:
        """Return what is out of the ordinary about an instant."""
        state = state_of(task)
        kept = state.label if state in _KEPT_BACK else "paused" if self.store.pause is not None else ""
        together = f"{row.beside} at once" if row.pile == "┌" else ""
        return ", ".join(filter(None, (together, kept, plain(row.note))))

    def _cells(self, key: str) -> Mapping[str, Content]:
        row = self._rows.get(key)
        task = self.store.tasks.get(row.slug) if row else None
        if row is None or task is None:
            return {}
        state = state_of(task)
        is_off = state in _KEPT_BACK or row.is_skipped or self.store.pause is not None
        quiet = "$text-disabled" if is_off else "$text-muted"
        now = self.now if self.store.is_live else self.store.heard_at or self.now
        due = task.next_execution_time or row.at if row.is_often else row.at
        ahead = "" if is_off and row.is_often else format_until(due, now, self.store.zone)
        return {
            "state": Content.styled(state.glyph, COLOURS[state]),
            "at": Content.styled(self._at(row, task), quiet if row.is_often or is_off else ""),
            "ahead": Content.styled(ahead if ahead.startswith(("in ", "now")) else "", quiet),
            "pile": Content.styled(row.pile, "$text-warning"),
            "name": Content.styled(plain(task.name), quiet if is_off else "bold"),
            "note": Content.styled(self._note(row, task), "$text-warning" if row.is_skipped else quiet),
        }

    def _at(self, row: _Row, task: TaskView) -> str:
        if row.is_often:
            return abbreviate_schedule(plain(task.schedule_description))
        return format_due_time(row.at, self.now, self.store.zone)

    # ── what is above and in place of them ───────────────────────────────────────────────────────────────────────────

    def _sum(self) -> str:
        found = self._found
        if found is None:
            return ""
        instants = sum(not row.is_often for row in self._rows.values())
        often = len(self._rows) - instants
        parts = [format_count(instants, "instant")] if instants else []
        parts += [f"{format_count(often, 'task')} due often"] if often else []
        if parts and found.until < self._asked_at + timedelta(hours=HOURS, minutes=-1):
            parts.append(f"complete until {format_calendar(found.until, self.now, self.store.zone)}")
        return ", ".join(parts)

    def _hours(self, now: datetime) -> Content:
        """Return a bar for each of the coming hours, as high as many instants are in it, over the hours."""
        zone = self.store.zone
        first = now.astimezone(zone).replace(minute=0, second=0, microsecond=0)
        counts: Counter[int] = Counter(
            int((row.at - first).total_seconds() // 3600)
            for key in self.sieve.visible_keys(self._rows)
            if not (row := self._rows[key]).is_often and not row.is_skipped
        )
        most = max(counts.values(), default=0)
        if not most:
            return Content("")
        cell = max(1, min(3, (self.size.width - 2) // (HOURS + 1)))
        bars: list[tuple[str, str]] = []
        hours = ""
        for number in range(HOURS + 1):
            count = counts[number]
            bar = BARS[max(0, round(count / most * len(BARS)) - 1)] if count else " "
            bars.append(
                (bar * max(1, cell - 1) + " " * (cell > 1), "$text-warning" if count == most > 1 else "$primary")
            )
            hour = (first + timedelta(hours=number)).astimezone(zone)
            hours = hours.ljust(number * cell)
            step = 1 if cell == 3 else 3
            if hour.hour % step == 0 and len(hours) == number * cell:
                hours += f"{hour:%H}"
        peak = f" up to {most} in an hour" if self.size.width > (HOURS + 1) * cell + 24 else ""
        return Content.assemble(" ", *bars, (peak, "$text-muted"), "\n ", (hours[: self.size.width - 2], "$text-muted"))

    def _nothing(self) -> Content:
        if not self.has_answer:
            return Content.styled(self.standing, "$text-muted")
        return Content.assemble(
            ("Nothing is due within the next 24 hours.\n\n", "bold"),
            (BY_ID["tasks"].key, "bold $key"), "  goes to the tasks; ",
            (BY_ID["why"].key, "bold $key"), " there says when one is due next",
        )  # fmt: skip


def _widest(texts: Iterable[str]) -> int:
    return max((Content(plain(text)).cell_length for text in texts), default=0)


def _piles(found: Sequence[DueInstant]) -> list[tuple[str, int]]:
    """Return for each instant what draws it together with those of the same minute, and how many these are."""
    minutes = [due.at.replace(second=0, microsecond=0) for due in found]
    counts = Counter(minutes)
    drawn: list[tuple[str, int]] = []
    for number, minute in enumerate(minutes):
        count = counts[minute]
        is_first = number == 0 or minutes[number - 1] != minute
        is_last = number + 1 == len(minutes) or minutes[number + 1] != minute
        drawn.append(("" if count == 1 else "┌" if is_first else "└" if is_last else "│", count))
    return drawn
