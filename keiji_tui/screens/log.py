"""A log on a screen of its own: that of a task, opened at one of its runs, or those of several tasks as one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
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
from keiji_tui.engine.link import Link
from keiji_tui.logs.pane import LogPane
from keiji_tui.messages import LogOpened
from keiji_tui.screens.base import BaseScreen
from keiji_tui.state.store import Store
from keiji_tui.text.format import format_day_and_clock, format_outcome
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine


class LogScreen(BaseScreen):
    """A log of one task or of several."""

    ABOUT = (Scope.LOG,)
    AUTO_FOCUS = "LogView"

    def __init__(self, store: Store, home: str, *, readonly: bool) -> None:
        super().__init__(store, home, readonly=readonly)
        self.log_pane = LogPane(id="log-pane")

    def body(self) -> ComposeResult:
        yield self.log_pane

    @property
    @abstractmethod
    def shown(self) -> Mapping[str, str]:
        """The tasks whose log it is: slug → name."""

    @property
    def has_list_keys(self) -> bool:
        return False

    def is_idle(self, action: Action) -> bool:
        return action.id in ("logs", "services") or self.log_pane.is_idle(action) or super().is_idle(action)

    def on_mount(self) -> None:
        self.log_pane.show(self.shown)
        self.post_message(LogOpened())

    def follow(self, link: Link) -> None:
        """Show what is in the log and what comes."""
        follow: Callable[[], Awaitable[None]] = partial(self.log_pane.follow, link)
        self.run_worker(follow, group="log", exclusive=True, exit_on_error=False)

    def back(self) -> bool:
        """Undo one thing in the log; return whether there was one."""
        return self.log_pane.back()

    def paint_body(self, now: datetime) -> None:
        store = self.store
        self.log_pane.at(store.zone, now.astimezone(store.zone).date(), is_live=store.is_live)


class RunLogScreen(LogScreen):
    """The log of a task at a run. Where that failed, its last error line is what one sees."""

    def __init__(self, store: Store, home: str, *, readonly: bool, run: Run) -> None:
        super().__init__(store, home, readonly=readonly)
        self._run = run

    def body(self) -> ComposeResult:
        yield AdaptiveLine(id="log-run")
        yield from super().body()

    @property
    def subject(self) -> TaskView | None:
        return self.store.tasks.get(self._run.task)

    @property
    def shown(self) -> Mapping[str, str]:
        slug, task = self._run.task, self.subject
        return {slug: task.name if task else slug}

    def follow(self, link: Link) -> None:
        is_first = self.log_pane.source is None
        self.log_pane.connect(link)
        if is_first:
            self.log_pane.open_at(self._run)
        super().follow(link)

    def paint_body(self, now: datetime) -> None:
        super().paint_body(now)
        self.query_one("#log-run", AdaptiveLine).set_variants((self._about(now), Content("")))

    def _about(self, now: datetime) -> Content:
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


class MergedLogScreen(LogScreen):
    """The logs of several tasks, in the order of their times."""

    def __init__(self, store: Store, home: str, *, readonly: bool, tasks: Mapping[str, str]) -> None:
        super().__init__(store, home, readonly=readonly)
        self._tasks = tasks

    @property
    def shown(self) -> Mapping[str, str]:
        return self._tasks
