"""The state of the engine as the terminal knows it. Pure: no Textual, no clock; equal updates give equal states."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from keiji.engine_process import SERVICES
from keiji.errors import KeijiError
from keiji.reasons import Reason
from keiji.records import Pause
from keiji_engine.bus.explain import explain
from keiji_engine.bus.protocol import (
    AnyEvent,
    BackfillChanged,
    Delta,
    DirectiveChanged,
    EngineChanged,
    EngineStopping,
    Heartbeat,
    ServiceChanged,
    Snapshot,
    TaskChanged,
    TaskRemoved,
)
from keiji_engine.bus.views import BackfillView, EngineView, LinkChanged, LinkState, ServiceView, TaskView
from keiji_tui.state.ledger import Ledger
from keiji_tui.state.task_index import TaskIndex, name_key
from keiji_tui.state.task_state import TaskCounter, TaskCounts

Update = Snapshot | Delta | Heartbeat | LinkChanged


@dataclass
class Store:
    """The state of the terminal, changed by `apply` and by the methods for user actions.

    Args:
        heard_at: when the last update of the engine arrived.
        tasks: by slug, sorted by name.
        services: by name, in display order.
        dismissed: slug → the source changes, and their error, whose rebuild offer was dismissed.
        marks: slugs of the marked tasks, in the order in which they were marked.
        index: the filter and the order of the tasks.
        backfills: by id, newest first, as of the last request for them and the events since.
        local_zone: the time zone of this machine, used until an engine has reported its own.
        workspace_error: why no engine could use the workspace; checked while none runs.
        start_error: why the last attempt to start an engine from here failed.
        layout_revision: increases whenever the widths of columns may change.
        schedule_revision: increases whenever due times may change.
    """

    link: LinkState = LinkState.CONNECTING
    link_reason: str = ""
    engine_is_running: bool = False
    heard_at: datetime | None = None
    engine: EngineView | None = None
    services: dict[str, ServiceView] = field(default_factory=dict)
    tasks: dict[str, TaskView] = field(default_factory=dict)
    dismissed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    marks: dict[str, None] = field(default_factory=dict)
    index: TaskIndex = field(default_factory=TaskIndex)
    local_zone: str = "UTC"
    workspace_error: KeijiError | None = None
    start_error: KeijiError | None = None
    layout_revision: int = 0
    schedule_revision: int = 0
    backfills: dict[int, BackfillView] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    _zone: ZoneInfo | None = None
    _counter: TaskCounter = field(default_factory=TaskCounter)
    _changed: dict[str, None] = field(default_factory=dict)

    # ── updates ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, update: Update, now: datetime) -> None:
        """Apply an update that the link received at ``now``."""
        if isinstance(update, LinkChanged):
            self._apply_link_change(update)
            return
        self.heard_at = now
        if isinstance(update, Snapshot):
            self._apply_snapshot(update)
        elif isinstance(update, Delta):
            self._apply_event(update.event)
        elif isinstance(update, Heartbeat) and self.link is LinkState.STALE:
            self.link, self.link_reason = LinkState.LIVE, ""

    def _apply_link_change(self, change: LinkChanged) -> None:
        self.link, self.link_reason, self.engine_is_running = change.state, change.reason, change.engine_is_running
        if change.state is LinkState.OFFLINE:
            self.ledger.discard_pending()

    def _apply_snapshot(self, snapshot: Snapshot) -> None:
        if self.engine is not None and self.engine.boot != snapshot.boot:
            self.ledger.discard_pending()
        self.engine, self._zone = snapshot.engine, None
        self.services = {view.name: view for view in sorted(snapshot.services, key=_service_order)}
        self.tasks = {task.slug: task for task in sorted(snapshot.tasks, key=_by_name)}
        self.marks = {slug: None for slug in self.marks if slug in self.tasks}
        self._counter = TaskCounter()
        for task in self.tasks.values():
            self._counter.add(task)
        self._changed = {slug: None for slug, task in self.tasks.items() if task.source_changes}
        self.index.invalidate()
        self.link, self.link_reason = LinkState.LIVE, ""
        self.workspace_error = self.start_error = None
        self.layout_revision += 1
        self.schedule_revision += 1

    def _apply_event(self, event: AnyEvent) -> None:
        if isinstance(event, TaskChanged):
            self._task_changed(event.task)
        elif isinstance(event, TaskRemoved):
            self._task_removed(event.slug)
        elif isinstance(event, BackfillChanged):
            self.backfills = _newest_first({**self.backfills, event.backfill.id: event.backfill})
        elif isinstance(event, EngineChanged):
            self.engine, self._zone = event.engine, None
        elif isinstance(event, ServiceChanged):
            known = {**self.services, event.service.name: event.service}
            self.services = {view.name: view for view in sorted(known.values(), key=_service_order)}
        elif isinstance(event, DirectiveChanged):
            self.ledger.apply_event(event, self.heard_at or datetime.fromtimestamp(0, UTC))
        elif isinstance(event, EngineStopping):
            self.link_reason = "the engine is stopping"

    def _task_changed(self, task: TaskView) -> None:
        known = self.tasks.get(task.slug)
        self.tasks[task.slug] = task
        if known is None or _layout(known) != _layout(task):
            self.layout_revision += 1
        if known is None or _schedule(known) != _schedule(task):
            self.schedule_revision += 1
        if known is None or known.name != task.name:
            self.tasks = {view.slug: view for view in sorted(self.tasks.values(), key=_by_name)}
        if known is not None:
            self._counter.remove(known)
        self._counter.add(task)
        self.index.update(task)
        if task.source_changes:
            self._changed[task.slug] = None
        else:
            self._changed.pop(task.slug, None)

    def _task_removed(self, slug: str) -> None:
        known = self.tasks.pop(slug, None)
        if known is None:
            return
        self.layout_revision += 1
        self.schedule_revision += 1
        self._counter.remove(known)
        self.index.remove(slug)
        self.backfills = {number: view for number, view in self.backfills.items() if view.task != slug}
        for remembered in (self.dismissed, self._changed, self.marks):
            remembered.pop(slug, None)

    def set_backfills(self, backfills: Iterable[BackfillView]) -> None:
        """Replace the known backfills with the answer to a request."""
        self.backfills = _newest_first({view.id: view for view in backfills})

    # ── user actions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def dismiss(self, slug: str) -> None:
        """Hide the rebuild offer of a task until its sources change again."""
        if slug in self.tasks:
            self.dismissed[slug] = _difference(self.tasks[slug])

    def mark(self, slug: str) -> None:
        """Mark a task, or unmark it."""
        if slug in self.marks:
            del self.marks[slug]
        elif slug in self.tasks:
            self.marks[slug] = None

    def clear_marks(self) -> bool:
        """Unmark all tasks; return whether there were any."""
        had_some = bool(self.marks)
        self.marks.clear()
        return had_some

    # ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_live(self) -> bool:
        return self.link is LinkState.LIVE

    @property
    def pause(self) -> Pause | None:
        """The pause of the whole system; None if it is not paused."""
        return self.engine.pause if self.engine else None

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which times are shown: that of the engine, or UTC if it is unknown on this machine."""
        if self._zone is None:
            try:
                self._zone = ZoneInfo(self.engine.time_zone if self.engine else self.local_zone)
            except (ZoneInfoNotFoundError, ValueError):
                self._zone = ZoneInfo("UTC")
        return self._zone

    @property
    def counts(self) -> TaskCounts:
        return self._counter.counts

    @property
    def name_filter(self) -> str:
        """The text that the names of visible tasks contain."""
        return self.index.text

    @name_filter.setter
    def name_filter(self, text: str) -> None:
        self.index.text = text

    def visible_slugs(self) -> list[str]:
        """Return the slugs of the visible tasks, in order; the same list object while nothing changes."""
        return self.index.visible_slugs(self.tasks)

    def find_task(self, name: str) -> TaskView | None:
        """Return the task with that slug or name; None if there is none."""
        return self.tasks.get(name) or next((task for task in self.tasks.values() if task.name == name), None)

    def pending_of(self, target: TaskView | ServiceView) -> str:
        """Return the verb of the unfinished directive for a task or service; "" if there is none."""
        if isinstance(target, TaskView):
            return self.ledger.pending_verb("task", *{target.slug, target.name})
        return self.ledger.pending_verb("service", target.name).removesuffix("-service")

    def pending_of_all(self) -> str:
        """Return "pause" or "resume" while all schedules are being paused or resumed, otherwise ""."""
        return self.ledger.pending_verb("system", "").removesuffix("-system")

    def reasons(self, task: TaskView, now: datetime) -> tuple[Reason, ...]:
        """Return why a task does not run now, as far as this terminal knows."""
        is_gone = self.link is LinkState.OFFLINE and not self.engine_is_running
        engine, services = (None, ()) if is_gone else (self.engine, tuple(self.services.values()))
        return explain(task, engine, services, self.pause, now=now if self.is_live else None)

    def is_scheduler_up(self) -> bool:
        """Return whether due tasks are started."""
        scheduler = self.services.get("scheduler")
        return scheduler is None or scheduler.is_up

    def rebuild_offer(self, selected: str | None) -> TaskView | None:
        """Return the task whose rebuild is offered, preferably the selected one; None if there is none."""
        first = self.tasks.get(selected or "")
        if first is not None and self.is_rebuild_offered(first):
            return first
        return next((task for slug in self._changed if self.is_rebuild_offered(task := self.tasks[slug])), None)

    def is_rebuild_offered(self, task: TaskView) -> bool:
        """Return whether a task's sources have changed since the offer to rebuild it was last dismissed."""
        return bool(task.source_changes) and self.dismissed.get(task.slug) != _difference(task)

    def silent_seconds(self, now: datetime) -> int:
        """Return the whole seconds since the last update of the engine."""
        return max(0, int((now - (self.heard_at or datetime.fromtimestamp(0, UTC))).total_seconds()))


def _newest_first(backfills: dict[int, BackfillView]) -> dict[int, BackfillView]:
    return dict(sorted(backfills.items(), reverse=True))


def _difference(task: TaskView) -> tuple[str, ...]:
    return (*task.source_changes, task.source_error)


def _schedule(task: TaskView) -> tuple[object, ...]:
    """Return what decides when a task is due."""
    return (task.build, task.is_disabled, task.schedule)


def _layout(task: TaskView) -> tuple[object, ...]:
    """Return what decides the widths of columns."""
    held = task.failures if task.held_since else 0
    return (task.name, task.schedule_description, bool(task.source_changes), task.pause, held)


def _by_name(task: TaskView) -> tuple[object, ...]:
    return name_key(task.name)


def _service_order(view: ServiceView) -> tuple[int, str]:
    return (SERVICES.index(view.name) if view.name in SERVICES else len(SERVICES), view.name)
