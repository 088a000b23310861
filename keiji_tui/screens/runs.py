"""The runs of a task, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import islice

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from keiji.formats import format_measurement, zone_of
from keiji.reasons import render
from keiji.records import Run
from keiji.states import FAILURES, RunState
from keiji_engine.bus.views import TaskView
from keiji_tui.actions.action import Action, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.screens.base import ScreenContext
from keiji_tui.screens.list import ListScreen
from keiji_tui.screens.loading import LoadingScreen
from keiji_tui.screens.log import RunLogScreen
from keiji_tui.state import durations, run_history
from keiji_tui.state.list_filter import ListFilter
from keiji_tui.state.run_history import HistoryRow
from keiji_tui.text.format import format_clock, format_day_and_clock, format_elapsed, format_outcome, format_until
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.columns import Column
from keiji_tui.widgets.run_bars import run_bars
from keiji_tui.widgets.table import Table

FIRST, MOST = 200, 1000  # runs to load: at first, and if too few rows are left once they are folded
_ENOUGH = 100
_MEASURED = 200  # rows that determine the width of columns; describing all of them would take too long
COLUMNS = (
    Column("mark", "", 1, 1, 0),
    Column("due", "DUE", 8, 24, 1),
    Column("started", "STARTED", 8, 24, 5),
    Column("ended", "RESULT", 9, 18, 2),
    Column("took", "TOOK", 6, 8, 3, align_right=True),
    Column("factor", "×USUAL", 6, 6, 6, align_right=True),
    Column("trigger", "TRIGGER", 8, 10, 7),
    Column("cpu", "CPU", 6, 8, 8, align_right=True),
    Column("memory", "MEMORY", 7, 8, 9, align_right=True),
    Column("reason", "REASON", 16, 120, 4, preferred_width=40),
)
_FITTED = ("due", "started", "ended", "reason")  # columns that are as wide as their content
_MARKS = {
    RunState.SUCCEEDED: ("●", "$text-success"),
    RunState.RUNNING: ("▶", "$text-accent"),
    RunState.STARTING: ("▶", "$text-accent"),
    RunState.QUEUED: ("▷", "$text-accent"),
    RunState.STOPPED: ("·", "$text-muted"),
    RunState.MISSED: ("–", "$text-warning"),
}
_NEVER = ("–", "$text-muted")


class RunTable(Table):
    """A table with the keys of the selected run, which take precedence over those of its task."""

    BINDINGS = bindings(Scope.RUN)


class RunsScreen(ListScreen[HistoryRow], LoadingScreen):
    """A row per run of one task, and one for consecutive due times that did not run for the same reason."""

    BINDINGS = bindings(Scope.TASK)
    SCOPES = (Scope.RUN, Scope.TASK)
    AUTO_FOCUS = "#runs"
    NOUN = "rows"
    FILTER_PROMPT = "filter by result, reason or run id"

    def __init__(self, context: ScreenContext, *, slug: str) -> None:
        super().__init__(context)
        self.slug = slug
        self._limit = FIRST
        self._rows: dict[str, HistoryRow] = {}
        self._median: float | None = None
        self._note = ""
        self._content_widths: dict[str, int] = {}
        self._widths_key: object = None
        self._shown_reason = ""
        self._shown_empty_page: Content | None = None

    def create_filter(self) -> ListFilter[HistoryRow]:
        return run_history.history_filter()

    def body(self) -> ComposeResult:
        yield AdaptiveLine(id="runs-title", classes="title")
        yield AdaptiveLine(id="runs-policy")
        yield self.filter_line()
        yield Static(id="runs-empty", classes="empty")
        yield RunTable(COLUMNS, self._cells, id="runs")
        yield Static(id="run-reason")

    @property
    def selected_task(self) -> TaskView | None:
        return self.store.tasks.get(self.slug)

    def is_hidden(self, action: Action) -> bool:
        if action.id in ("run-log", "rerun"):
            return self.row is None
        if action.id == "runs-category":
            return not self.rows
        return action.id in ("history", "detail") or super().is_hidden(action)

    @property
    def rows(self) -> Mapping[str, HistoryRow]:
        return self._rows

    @property
    def row(self) -> HistoryRow | None:
        """The selected row."""
        return self._rows.get(self.table.selected or "")

    @property
    def selected_run(self) -> Run | None:
        return self.row.run if self.row else None

    def copy_lines(self) -> Sequence[str]:
        return self.row.ids if self.row else ()

    @on(Table.Activated)
    def _row_activated(self, event: Table.Activated) -> None:
        event.stop()
        self.action_open_run_log()

    def action_open_run_log(self) -> None:
        """Show the log of the selected run."""
        if self.selected_run is None:
            self.app.notify("no run is selected", severity="warning", markup=False)
        else:
            self.app.push_screen(RunLogScreen(self.context, run=self.selected_run))

    async def load(self) -> None:
        runs = await self.context.link.runs(self.slug, self._limit)
        if len(runs) >= self._limit < MOST and len(run_history.history_rows(runs, self._zone)) < _ENOUGH:
            # Few rows are left once they are folded, as for a task on hold.
            self._limit = MOST
            runs = await self.context.link.runs(self.slug, self._limit)
        self._show_runs(runs)

    def _show_runs(self, runs: Sequence[Run]) -> None:
        self._rows = run_history.history_rows(runs, self._zone)
        self._median = durations.median_duration(runs)
        is_cut = len(runs) >= self._limit
        self._note = ("latest: " if is_cut else "") + run_history.summarise(self._rows.values()) if runs else ""
        self._widths_key = None

    def paint_body(self, now: datetime) -> None:
        task = self.selected_task
        name = plain(task.name) if task else self.slug
        if task is not None:
            boot = self.store.engine.boot if self.store.engine else ""
            run = (task.run_id, task.running, task.recent[-1:], task.retry_at, task.waiting, task.next_execution_time)
            self.loader.update((boot, run))
        median = f"  median {format_measurement(self._median)}" if self._median is not None else ""
        title = Content.assemble(("history ", "$text-muted"), (name, "bold"))
        with_median = Content.assemble(title, (median, "$text-muted"))
        titles = [with_median, title]
        if task is not None and task.recent:
            titles.insert(0, Content.assemble(with_median, "  ", run_bars(task.recent)))
        self.show_title("#runs-title", titles, self._note, self.loader.status)
        rules = " · ".join(filter(None, (plain(task.schedule_description), plain(task.policy)))) if task else ""
        self.query_one("#runs-policy", AdaptiveLine).set_variants((Content.styled(rules, "$text-muted"), Content("")))
        today = now.astimezone(self._zone).date()
        if self._widths_key != today:
            self._widths_key = today
            rows = [self._cells(key) for key in islice(self._rows, _MEASURED)]
            self._content_widths = {
                column: max((row[column].cell_length for row in rows), default=0) for column in _FITTED
            }
        self._paint_empty_page(task)
        self.show_rows(self._content_widths, newest_first=True)
        self._paint_reason()

    def _paint_empty_page(self, task: TaskView | None) -> None:
        """Say how to run a task that has never run."""
        is_empty = self.loader.has_data and not self._rows and task is not None
        self.set_class(is_empty, "-empty")
        if task is None or not is_empty:
            if self.focused is None:
                self.set_focus(self.table)  # a hidden table cannot have the focus
            return
        run = BY_ID["run"]
        due = ""
        is_kept_back = task.is_disabled or task.held_since or task.pause or self.store.pause
        if task.next_execution_time is not None and not is_kept_back:
            due = f"It is due {self._until(task)}.\n\n"
        reason = run.disabled_reason(self.action_context)
        how = (
            Content(plain(reason)) if reason else Content.assemble("Press ", (run.key, "bold $key"), " to run it now.")
        )
        text = Content.assemble((f"{plain(task.name)} has not run yet.\n\n", "bold"), due, how)
        if self._shown_empty_page is None or not text.is_same(self._shown_empty_page):
            self._shown_empty_page = text
            self.query_one("#runs-empty", Static).update(text)

    @on(Table.Selected)
    def _paint_reason(self) -> None:
        """Show the parameters and the full reason of the selected run, for which its row may be too narrow."""
        row = self.row
        reason = row.summary(self._until_last(row.run)) if row and self._reason(row.run) else ""
        text = "\n".join(filter(None, (row.parameters if row else "", reason)))
        if text != self._shown_reason:
            self._shown_reason = text
            shown = self.query_one("#run-reason", Static)
            shown.set_class(bool(text), "-shown")
            shown.update(Content(text))

    def _cells(self, key: str) -> Mapping[str, Content]:
        row = self._rows.get(key)
        if row is None:
            return {}
        run = row.run
        since = format_elapsed((self.now - (run.started_at or run.created_at)).total_seconds()) if run.is_live else ""
        bad = "$text-error" if run.state in FAILURES else "$foreground"
        cpu = "" if run.cpu_seconds is None else format_measurement(run.cpu_seconds)
        return {
            "mark": _mark(run),
            "due": self._due(run),
            "started": self._started(run),
            "ended": Content.styled(row.label, bad),
            "took": Content(format_measurement(run.seconds) if run.seconds is not None else since),
            "factor": self._factor(run),
            "trigger": Content.styled(_format_trigger(run), "$text-muted"),
            "cpu": Content.styled(cpu, "$text-muted"),
            "memory": Content.styled(_format_size(run.peak_memory_bytes), "$text-muted"),
            "reason": Content.styled(self._reason(run), "$text-muted"),
        }

    def _until(self, task: TaskView) -> str:
        assert task.next_execution_time is not None
        return format_until(task.next_execution_time, self.now, self._zone, with_zone=self._has_own_zone)

    def _factor(self, run: Run) -> Content:
        """Return the duration of a run relative to the median of successful runs; a live run once it is longer."""
        seconds = run.seconds if run.state is RunState.SUCCEEDED else None
        if run.state is RunState.RUNNING and run.started_at is not None:
            seconds = max(0.0, (self.now - run.started_at).total_seconds())
            if self._median is None or seconds < self._median:
                return Content("")  # it may still end on time
        text = durations.format_ratio(seconds, self._median)
        return Content.styled(text, durations.ratio_colour(seconds, self._median))

    def _due(self, run: Run) -> Content:
        """Return when a run was due; for a manual run, when it was requested."""
        if run.scheduled_for is not None:
            return Content(self._at(run.scheduled_for))
        return Content.styled(*_NEVER if run.started_at or run.is_live else (self._at(run.created_at), "$text-muted"))

    def _started(self, run: Run) -> Content:
        """Return when a run started or will start, with the day if it is not that of the due time."""
        zone, now = self._zone, self.now
        if run.state is RunState.QUEUED:
            ahead = "waiting"
            if run.due_at is not None and run.due_at > now:
                ahead = format_until(run.due_at, now, zone, with_zone=self._has_own_zone)
            return Content.styled(ahead, "$text-muted")
        started = run.started_at or (run.created_at if run.is_live else None)
        if started is None:
            return Content.styled(*_NEVER)
        due = run.scheduled_for
        is_same_day = due is not None and due.astimezone(zone).date() == started.astimezone(zone).date()
        shown = self._at(started)
        if is_same_day:
            shown = format_clock(started, zone) + (f" {started.astimezone(zone):%Z}" if self._has_own_zone else "")
        return Content(shown)

    @property
    def _zone(self) -> tzinfo:
        """The time zone of the task."""
        task = self.selected_task
        return zone_of(task.zone if task is not None else "", self.store.zone)

    @property
    def _has_own_zone(self) -> bool:
        return self.selected_task is not None and bool(self.selected_task.zone)

    def _at(self, moment: datetime) -> str:
        return format_day_and_clock(moment, self.now, self._zone, with_zone=self._has_own_zone)

    def _until_last(self, run: Run) -> str:
        return f" until {self._at(run.scheduled_until)}" if run.scheduled_until else ""

    def _reason(self, run: Run) -> str:
        """Return the reason of an outcome; "" if the result says it already."""
        reason = plain(render(run.reason, self._zone))
        outcome = format_outcome(run.state, run.exit_code, run.signal)
        if reason in (f"exit code {run.exit_code}", f"killed by {outcome}"):
            reason = ""
        return ": ".join(filter(None, (self._until_last(run).strip(), reason)))


def _mark(run: Run) -> Content:
    if run.state is RunState.QUEUED and run.attempt > 1:
        return Content.styled("↻", "$text-warning")
    return Content.styled(*_MARKS.get(run.state, ("✗", "$text-error") if run.state in FAILURES else _NEVER))


def _format_trigger(run: Run) -> str:
    return str(run.trigger) if run.attempt < 2 else f"{run.trigger} {run.attempt - 1}"


def _format_size(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 1024**2:.0f} MiB" if count < 1024**3 else f"{count / 1024**3:.1f} GiB"
