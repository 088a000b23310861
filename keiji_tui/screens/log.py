"""A full-screen log: of one task, opened at one of its runs, or of several tasks, merged by time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from functools import partial

from textual.app import ComposeResult
from textual.content import Content

from keiji.formats import format_measurement
from keiji.reasons import render
from keiji.records import Run
from keiji.states import FAILURES
from keiji_engine.bus.views import TaskView
from keiji_tui.actions.action import Action, Scope
from keiji_tui.background import start_worker
from keiji_tui.logs.pane import LogPane
from keiji_tui.logs.source import MAX_RUNS
from keiji_tui.screens.base import BaseScreen, ScreenContext
from keiji_tui.text.format import format_day_and_clock, format_outcome
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine

LAST, FAILED = "last", "failed"


class LogScreen(BaseScreen):
    """A full-screen log of one or more tasks."""

    SCOPES = (Scope.LOG,)
    AUTO_FOCUS = "LogView"

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self.log_pane = LogPane(id="log-pane")

    def body(self) -> ComposeResult:
        yield self.log_pane

    @property
    @abstractmethod
    def shown(self) -> Mapping[str, str]:
        """The tasks of the log: slug → name."""

    @property
    def has_task_list_keys(self) -> bool:
        return False

    def is_hidden(self, action: Action) -> bool:
        return action.id in ("logs", "services") or self.log_pane.is_idle(action) or super().is_hidden(action)

    def on_mount(self) -> None:
        self.log_pane.show(self.shown)
        self.reconnected()

    def reconnected(self) -> None:
        """Load the log and follow it."""
        start_worker(self, partial(self.log_pane.follow, self.context.link), group="log", exclusive=True)

    def go_back(self) -> bool:
        """Undo the last step in the log; return whether there was one."""
        return self.log_pane.back()

    def paint_body(self, now: datetime) -> None:
        store = self.store
        self.log_pane.set_clock(store.zone, now.astimezone(store.zone).date(), is_live=store.is_live)


class RunLogScreen(LogScreen):
    """The log of a task, opened at a run; if the run failed, at its last error line."""

    def __init__(self, context: ScreenContext, *, run: Run) -> None:
        super().__init__(context)
        self._run = run

    def body(self) -> ComposeResult:
        yield AdaptiveLine(id="log-run")
        yield from super().body()

    @property
    def selected_task(self) -> TaskView | None:
        return self.store.tasks.get(self._run.task)

    @property
    def shown(self) -> Mapping[str, str]:
        slug, task = self._run.task, self.selected_task
        return {slug: task.name if task else slug}

    def reconnected(self) -> None:
        is_first = self.log_pane.source is None
        self.log_pane.connect(self.context.link)
        if is_first:
            self.log_pane.open_at(self._run)
        super().reconnected()

    def paint_body(self, now: datetime) -> None:
        super().paint_body(now)
        self.query_one("#log-run", AdaptiveLine).set_variants((self._title(now), Content("")))

    def _title(self, now: datetime) -> Content:
        run, zone = self._run, self.store.zone
        parts = [("run ", "$text-muted"), (run.run_id[:8], "bold")]
        if run.started_at is not None:
            parts.append((f"  {format_day_and_clock(run.started_at, now, zone)}", "$text-muted"))
        style = "$text-error" if run.state in FAILURES else "$foreground"
        parts.append((f"  {format_outcome(run.state, run.exit_code, run.signal)}", style))
        if run.seconds is not None:
            parts.append((f" after {format_measurement(run.seconds)}", "$text-muted"))
        if run.reason:
            parts.append((f"  {plain(render(run.reason, zone))}", "$text-muted"))
        return Content.assemble(*parts)


async def open_run(context: ScreenContext, slug: str, run: str) -> RunLogScreen | None:
    """Return a screen with the log of a run; None if there is no such run. Raises KeijiError.

    Args:
        run: a prefix of the run id, "last" for the last run that started, or "failed" for the last one that failed.
    """
    runs = await context.link.runs(slug, MAX_RUNS)
    if run in (LAST, FAILED):
        started = (each for each in runs if each.started_at is not None)
        found = next((each for each in started if run == LAST or each.state in FAILURES), None)
    else:
        found = next((each for each in runs if each.run_id.startswith(run.lower())), None)
    return RunLogScreen(context, run=found) if found is not None else None


class MergedLogScreen(LogScreen):
    """The logs of several tasks, merged by time."""

    def __init__(self, context: ScreenContext, *, tasks: Mapping[str, str]) -> None:
        super().__init__(context)
        self._tasks = tasks

    @property
    def shown(self) -> Mapping[str, str]:
        return self._tasks
