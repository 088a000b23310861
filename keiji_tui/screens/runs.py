"""The runs of a task, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from textual.app import ComposeResult
from textual.content import Content

from keiji.records import Run
from keiji.states import BAD, RunState
from keiji_engine.bus.views import TaskView
from keiji_tui.keymap import Action, Place
from keiji_tui.logs.sanitise import plain
from keiji_tui.messages import BoardOpened, RunsOutdated
from keiji_tui.screens.board import Board
from keiji_tui.store import Store
from keiji_tui.widgets.bindings import bindings
from keiji_tui.widgets.columns import Column
from keiji_tui.widgets.line import Line
from keiji_tui.widgets.table import Table
from keiji_tui.words import calendar, clock, counted, elapsed, lasting, outcome

MOST = 200
COLUMNS = (
    Column("mark", "", 1, 1, 0),
    Column("when", "STARTED", 12, 17, 1),
    Column("ended", "RESULT", 9, 12, 2),
    Column("took", "TOOK", 7, 8, 3, right=True),
    Column("trigger", "BECAUSE", 8, 10, 5),
    Column("cpu", "CPU", 7, 8, 6, right=True),
    Column("memory", "MEMORY", 8, 8, 7, right=True),
    Column("reason", "REASON", 8, 80, 8),
)
_MARKS = {
    RunState.SUCCEEDED: ("●", "$text-success"),
    RunState.RUNNING: ("▶", "$text-accent"),
    RunState.STARTING: ("▶", "$text-accent"),
    RunState.QUEUED: ("↻", "$text-warning"),
    RunState.STOPPED: ("·", "$text-muted"),
}


class RunsScreen(Board):
    """A row for each run of one task."""

    BINDINGS = bindings(Place.TASK)
    ABOUT = (Place.TASK,)
    AUTO_FOCUS = "#runs"

    def __init__(self, store: Store, home: str, *, readonly: bool, slug: str) -> None:
        super().__init__(store, home, readonly=readonly)
        self.slug = slug
        self._runs: dict[str, Run] = {}
        self._note = "loading …"
        self._shown_as_of: object = None

    def body(self) -> ComposeResult:
        yield Line(id="runs-title")
        yield Table(COLUMNS, self._cells, id="runs")

    @property
    def subject(self) -> TaskView | None:
        return self.store.tasks.get(self.slug)

    def is_idle(self, action: Action) -> bool:
        return action.id == "history" or super().is_idle(action)

    def put(self, runs: Sequence[Run]) -> None:
        """Show these runs."""
        self._runs = {run.run_id: run for run in runs}
        self._note = counted(len(runs), "run") if len(runs) < MOST else f"the newest {MOST} runs"
        self.post_message(BoardOpened())

    def failed(self, reason: str) -> None:
        """Say why there are none to show."""
        self._note = plain(reason)
        self.post_message(BoardOpened())

    def paint_body(self, now: datetime) -> None:
        task = self.subject
        name = plain(task.name) if task else self.slug
        newest = (task.run_id, task.recent[-1:], task.retry_at) if task else None
        if task is not None and newest != self._shown_as_of:
            self._shown_as_of = newest
            self.post_message(RunsOutdated(self.slug))
        title = Content.assemble(("history ", "$text-muted"), (name, "bold"))
        self.query_one("#runs-title", Line).put((title, Content.styled(self._note, "$text-muted")))
        self.query_one(Table).put(list(self._runs), {"when": 17})

    def _cells(self, run_id: str) -> Mapping[str, Content]:
        run = self._runs.get(run_id)
        if run is None:
            return {}
        zone, now = self.store.zone, self.now
        began = run.started_at or run.due_at or run.scheduled_for or run.created_at
        day = calendar(began, now, zone).rpartition(" ")[0]
        since = elapsed((now - began).total_seconds()) if run.is_live else ""
        bad = "$text-error" if run.state in BAD else "$foreground"
        cpu = "" if run.cpu_seconds is None else lasting(run.cpu_seconds)
        return {
            "mark": Content.styled(*_MARKS.get(run.state, ("✗", "$text-error") if run.state in BAD else ("–", ""))),
            "when": Content(f"{'' if day == 'today' else day} {clock(began, zone)}".strip()),
            "ended": Content.styled(outcome(run.state, run.exit_code, run.signal), bad),
            "took": Content(lasting(run.seconds) if run.seconds is not None else since),
            "trigger": Content.styled(_because(run), "$text-muted"),
            "cpu": Content.styled(cpu, "$text-muted"),
            "memory": Content.styled(_size(run.peak_memory_bytes), "$text-muted"),
            "reason": Content.styled(plain(run.reason), "$text-muted"),
        }


def _because(run: Run) -> str:
    return str(run.trigger) if run.attempt < 2 else f"{run.trigger} {run.attempt - 1}"


def _size(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 1024**2:.0f} MiB" if count < 1024**3 else f"{count / 1024**3:.1f} GiB"
