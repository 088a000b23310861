"""The coming day: every instant of all tasks in order, and in which hours and minutes they pile up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from keiji_engine.bus.protocol import Agenda
from keiji_engine.bus.views import AgendaInstant, TaskView
from keiji_tui.keymap import BY_ID, Action, Place
from keiji_tui.link.link import Link
from keiji_tui.logs.sanitise import plain
from keiji_tui.screens.asking import AskingBoard
from keiji_tui.states import TaskState, state_of
from keiji_tui.store import Store
from keiji_tui.widgets.bindings import bindings
from keiji_tui.widgets.columns import Column
from keiji_tui.widgets.line import Line
from keiji_tui.widgets.table import Table
from keiji_tui.widgets.task_row import COLOURS
from keiji_tui.words import BARS, brief, counted, until

HOURS = 24
AGAIN_SECONDS = 60  # after which it is asked anew, though nothing that is seen here has changed
COLUMNS = (
    Column("state", "", 1, 1, 0),
    Column("at", "WHEN", 8, 24, 1),
    Column("ahead", "", 8, 12, 4),
    Column("pile", "", 1, 1, 3, is_mark=True),
    Column("name", "TASK", 8, 40, 2),
    Column("note", "NOTE", 8, 80, 5),
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


class UpcomingScreen(AskingBoard):
    """A row for each instant within the next 24 hours."""

    BINDINGS = bindings(Place.TASK)
    ABOUT = (Place.TASK,)
    AUTO_FOCUS = "#upcoming"

    def __init__(self, store: Store, home: str, *, readonly: bool) -> None:
        super().__init__(store, home, readonly=readonly)
        self._found: Agenda | None = None
        self._asked_at = self.now
        self._rows: dict[str, _Row] = {}
        self._rows_of: object = None
        self._keys: list[str] = []
        self._wanted: dict[str, int] = {}

    def body(self) -> ComposeResult:
        yield Line(id="upcoming-title", classes="title")
        yield Static(id="upcoming-hours")
        yield Static(id="upcoming-empty", classes="empty")
        yield Table(COLUMNS, self._cells, id="upcoming")

    @property
    def subject(self) -> TaskView | None:
        row = self._rows.get(self.query_one(Table).selected or "")
        return self.store.tasks.get(row.slug) if row else None

    def is_idle(self, action: Action) -> bool:
        return action.id in _ELSEWHERE or super().is_idle(action)

    async def ask(self, link: Link) -> None:
        self._asked_at = self.now
        self._found = await link.agenda()

    def paint_body(self, now: datetime) -> None:
        store = self.store
        as_of = now if store.is_live else store.heard_at or now
        if not self.is_asking:
            tasks = tuple((task.slug, task.build, task.is_disabled, task.schedule) for task in store.tasks.values())
            boot = store.engine.boot if store.engine else ""
            self.ask_where_changed((boot, hash(tasks), int(now.timestamp()) // AGAIN_SECONDS))
        self._arrange(as_of)
        whole = " · ".join(filter(None, (self._sum(), self.standing)))
        title = Content.styled("next 24 hours", "bold")
        notes = (whole, self.standing or self._sum().partition(",")[0], "")
        self.query_one("#upcoming-title", Line).put(*((title, Content.styled(note, "$text-muted")) for note in notes))
        self.set_class(not self._keys, "-empty")
        if self._keys and self.focused is None:
            self.query_one(Table).focus()  # it cannot have the focus while it is hidden
        if not self._keys:
            self.put("#upcoming-empty", self._nothing())
        self.query_one(Table).put(self._keys, self._wanted)
        hours = self._hours(as_of)
        self.query_one("#upcoming-hours").display = bool(hours)
        self.put("#upcoming-hours", hours)

    def on_resize(self) -> None:
        if self.is_ready:
            self.paint_body(self.now)

    @on(Table.Chosen)
    async def _row_chosen(self, event: Table.Chosen) -> None:
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
            self._rows = {
                f"often {often.task}": _Row(often.task, often.next_at, is_often=True) for often in found.often
            } | {
                f"{due.at.timestamp():.6f} {due.task}": _Row(
                    due.task, due.at, due.note, due.is_skipped, pile=pile, beside=beside
                )
                for due, (pile, beside) in zip(found.instants, _piles(found.instants), strict=True)
            }
        tasks = self.store.tasks
        keys = [key for key, row in self._rows.items() if row.slug in tasks and (row.is_often or row.at > now)]
        if keys != self._keys:
            self._keys = keys
            names = [tasks[slug].name for slug in {self._rows[key].slug for key in keys}]
            schedules = [
                brief(plain(tasks[row.slug].schedule_words))
                for row in self._rows.values()
                if row.is_often and row.slug in tasks
            ]
            rows = [self._rows[key] for key in keys]
            longest = "Tue 00:00:00" if any(row.at.second for row in rows if not row.is_often) else "Tue 00:00"
            self._wanted = {
                "name": max((Content(plain(name)).cell_length for name in names), default=0),
                "at": max((Content(text).cell_length for text in [longest, *schedules]), default=0),
                "ahead": 9,
            }

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
        ahead = "" if is_off and row.is_often else until(due, now, self.store.zone)
        kept = state.word if state in _KEPT_BACK else "paused" if self.store.pause is not None else ""
        together = f"{row.beside} at once" if row.pile == "┌" else ""
        note = ", ".join(filter(None, (together, kept, plain(row.note))))
        return {
            "state": Content.styled(state.glyph, COLOURS[state]),
            "at": Content.styled(self._at(row, task), quiet if row.is_often or is_off else ""),
            "ahead": Content.styled(ahead if ahead.startswith(("in ", "now")) else "", quiet),
            "pile": Content.styled(row.pile, "$text-warning"),
            "name": Content.styled(plain(task.name), quiet if is_off else "bold"),
            "note": Content.styled(note, "$text-warning" if row.is_skipped else quiet),
        }

    def _at(self, row: _Row, task: TaskView) -> str:
        if row.is_often:
            return brief(plain(task.schedule_words))
        zone = self.store.zone
        local = row.at.astimezone(zone)
        time = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
        return time if local.date() == self.now.astimezone(zone).date() else f"{local:%a} {time}"

    # ── what is above and in place of them ───────────────────────────────────────────────────────────────────────────

    def _sum(self) -> str:
        found = self._found
        if found is None:
            return ""
        instants = sum(not self._rows[key].is_often for key in self._keys)
        often = len(self._keys) - instants
        parts = [counted(instants, "instant")] if instants else []
        parts += [f"{counted(often, 'task')} due often"] if often else []
        if parts and found.until < self._asked_at + timedelta(hours=HOURS, minutes=-1):
            parts.append(f"complete until {found.until.astimezone(self.store.zone):%a %H:%M}")
        return ", ".join(parts)

    def _hours(self, now: datetime) -> Content:
        """Return a bar for each of the coming hours, as high as many instants are in it, over the hours."""
        zone = self.store.zone
        first = now.astimezone(zone).replace(minute=0, second=0, microsecond=0)
        counts: Counter[int] = Counter(
            int((row.at - first).total_seconds() // 3600)
            for key in self._keys
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


def _piles(found: Sequence[AgendaInstant]) -> list[tuple[str, int]]:
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
