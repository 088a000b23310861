"""What the terminal knows of its engine. Pure: no toolkit, no clock; the same updates give the same state."""

from __future__ import annotations

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
    Delta,
    Directive,
    DirectiveChanged,
    EngineChanged,
    EngineStopping,
    Heartbeat,
    ServiceChanged,
    Snapshot,
    TaskChanged,
    TaskRemoved,
)
from keiji_engine.bus.views import EngineView, LinkChanged, LinkState, ServiceView, TaskView
from keiji_tui.state.ledger import Ledger
from keiji_tui.state.task_index import TaskIndex, name_key
from keiji_tui.state.task_state import Counts, Tally

Update = Snapshot | Delta | Heartbeat | LinkChanged

_UNDER_WAY = frozenset({"sent", "accepted"})


@dataclass(frozen=True, slots=True)
class Pending:
    """A directive of which the engine has not yet told the end."""

    verb: str
    target: str


@dataclass
class Store:
    """The state of the terminal, changed by `apply` and the few verbs below.

    Args:
        heard_at: when the engine last said anything.
        tasks: by slug, in the order of their names.
        services: by name, in the order in which they are shown.
        pending: by the id of the directive.
        dismissed: slug → the source changes (and error) that a person has seen and put aside.
        marks: slugs of the tasks that directives are about together, in the order in which they were marked.
        listing: which tasks are shown, and in which order.
        local_zone: the zone of this machine, for as long as no engine has told its own.
        trouble: why no engine could work on the workspace; looked for while none runs.
        failed_start: why the last one that was started here did not come up.
        shape: counts up whenever what decides the widths of columns may differ.
    """

    link: LinkState = LinkState.CONNECTING
    link_reason: str = ""
    engine_lives: bool = False
    heard_at: datetime | None = None
    engine: EngineView | None = None
    services: dict[str, ServiceView] = field(default_factory=dict)
    tasks: dict[str, TaskView] = field(default_factory=dict)
    pending: dict[str, Pending] = field(default_factory=dict)
    dismissed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    marks: dict[str, None] = field(default_factory=dict)
    listing: TaskIndex = field(default_factory=TaskIndex)
    local_zone: str = "UTC"
    trouble: KeijiError | None = None
    failed_start: KeijiError | None = None
    shape: int = 0
    book: Ledger = field(default_factory=Ledger)
    _zone: ZoneInfo | None = None
    _tally: Tally = field(default_factory=Tally)
    _differing: dict[str, None] = field(default_factory=dict)

    # ── what the engine tells ────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, update: Update, now: datetime) -> None:
        """Take in what the link told at ``now``."""
        if isinstance(update, LinkChanged):
            self._link_changed(update)
            return
        self.heard_at = now
        if isinstance(update, Snapshot):
            self._take(update)
        elif isinstance(update, Delta):
            self._happened(update.event)
        elif isinstance(update, Heartbeat) and self.link is LinkState.STALE:
            self.link, self.link_reason = LinkState.LIVE, ""

    def _link_changed(self, change: LinkChanged) -> None:
        self.link, self.link_reason, self.engine_lives = change.state, change.reason, change.engine_is_running
        if change.state is LinkState.OFFLINE:
            self.pending.clear()

    def _take(self, snapshot: Snapshot) -> None:
        if self.engine is not None and self.engine.boot != snapshot.boot:
            self.pending.clear()  # whoever waits for the end of a directive tells it; this engine will not
        self.engine, self._zone = snapshot.engine, None
        self.services = {view.name: view for view in sorted(snapshot.services, key=_service_order)}
        self.tasks = {task.slug: task for task in sorted(snapshot.tasks, key=_by_name)}
        self.marks = {slug: None for slug in self.marks if slug in self.tasks}
        self._tally = Tally()
        for task in self.tasks.values():
            self._tally.add(task)
        self._differing = {slug: None for slug, task in self.tasks.items() if task.source_changes}
        self.listing.reset()
        self.link, self.link_reason = LinkState.LIVE, ""
        self.trouble = self.failed_start = None
        self.shape += 1

    def _happened(self, event: AnyEvent) -> None:
        if isinstance(event, TaskChanged):
            self._task_changed(event.task)
        elif isinstance(event, TaskRemoved):
            self._task_removed(event.slug)
        elif isinstance(event, EngineChanged):
            self.engine, self._zone = event.engine, None
        elif isinstance(event, ServiceChanged):
            known = {**self.services, event.service.name: event.service}
            self.services = {view.name: view for view in sorted(known.values(), key=_service_order)}
        elif isinstance(event, DirectiveChanged):
            self.book.happened(event, self.heard_at or datetime.fromtimestamp(0, UTC))
            if event.stage in _UNDER_WAY:
                self.pending[event.directive] = Pending(event.verb, event.target)
            else:
                self.pending.pop(event.directive, None)
        elif isinstance(event, EngineStopping):
            self.link_reason = "the engine is stopping"

    def _task_changed(self, task: TaskView) -> None:
        known = self.tasks.get(task.slug)
        self.tasks[task.slug] = task
        if known is None or _shape(known) != _shape(task):
            self.shape += 1
        if known is None or known.name != task.name:
            self.tasks = {view.slug: view for view in sorted(self.tasks.values(), key=_by_name)}
        if known is not None:
            self._tally.take(known)
        self._tally.add(task)
        self.listing.put(task)
        if task.source_changes:
            self._differing[task.slug] = None
        else:
            self._differing.pop(task.slug, None)

    def _task_removed(self, slug: str) -> None:
        known = self.tasks.pop(slug, None)
        if known is None:
            return
        self.shape += 1
        self._tally.take(known)
        self.listing.drop(slug)
        for remembered in (self.dismissed, self._differing, self.marks):
            remembered.pop(slug, None)

    # ── what a person does ───────────────────────────────────────────────────────────────────────────────────────────

    def sent(self, directive: Directive) -> None:
        """Note that a directive is on its way."""
        self.pending[directive.id] = Pending(directive.verb, directive.target)

    def settled(self, directive: Directive) -> None:
        """Note that a directive has come to its end, whichever."""
        self.pending.pop(directive.id, None)

    def dismiss(self, slug: str) -> None:
        """Put the rebuild offer of a task aside until its sources change again."""
        if slug in self.tasks:
            self.dismissed[slug] = _difference(self.tasks[slug])

    def mark(self, slug: str) -> None:
        """Mark a task, or take its mark away."""
        if slug in self.marks:
            del self.marks[slug]
        elif slug in self.tasks:
            self.marks[slug] = None

    def unmark(self) -> bool:
        """Take all marks away; return whether there was one."""
        had_some = bool(self.marks)
        self.marks.clear()
        return had_some

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_live(self) -> bool:
        return self.link is LinkState.LIVE

    @property
    def pause(self) -> Pause | None:
        """The pause of everything."""
        return self.engine.pause if self.engine else None

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which times are shown: the engine's; UTC where it is not known here."""
        if self._zone is None:
            try:
                self._zone = ZoneInfo(self.engine.time_zone if self.engine else self.local_zone)
            except (ZoneInfoNotFoundError, ValueError):
                self._zone = ZoneInfo("UTC")
        return self._zone

    @property
    def counts(self) -> Counts:
        return self._tally.counts

    @property
    def filter(self) -> str:
        """What a task's name has to contain."""
        return self.listing.filter

    @filter.setter
    def filter(self, text: str) -> None:
        self.listing.filter = text

    def shown(self) -> list[str]:
        """Return the slugs of the tasks that are to be shown, in order; the same list while nothing differs."""
        return self.listing.of(self.tasks)

    def named(self, name: str) -> TaskView | None:
        """Return the task of that slug or name; None where there is none (any more)."""
        return self.tasks.get(name) or next((task for task in self.tasks.values() if task.name == name), None)

    def pending_of(self, target: TaskView | ServiceView) -> str:
        """Return the verb that is under way for a task or service, "" when there is none."""
        names = {target.name, target.slug} if isinstance(target, TaskView) else {target.name}
        kind = isinstance(target, ServiceView)
        items = self.pending.values()
        verbs = [item.verb for item in items if item.target in names and item.verb.endswith("-service") == kind]
        return verbs[-1].removesuffix("-service") if verbs else ""

    def pending_of_all(self) -> str:
        """Return whether everything is being paused or resumed: "pause", "resume" or ""."""
        verbs = [item.verb for item in self.pending.values() if item.verb.endswith("-system")]
        return verbs[-1].removesuffix("-system") if verbs else ""

    def reasons(self, task: TaskView) -> tuple[Reason, ...]:
        """Return why a task does not run now, by what is known here."""
        is_gone = self.link is LinkState.OFFLINE and not self.engine_lives
        engine, services = (None, ()) if is_gone else (self.engine, tuple(self.services.values()))
        return explain(task, engine, services, self.pause)

    def is_scheduling(self) -> bool:
        """Return whether anything will be started by itself."""
        scheduler = self.services.get("scheduler")
        return scheduler is None or scheduler.is_up

    def offer(self, selected: str | None) -> TaskView | None:
        """Return the task whose rebuild is to be offered, the selected one before any other."""
        first = self.tasks.get(selected or "")
        if first is not None and self.is_offered(first):
            return first
        return next((task for slug in self._differing if self.is_offered(task := self.tasks[slug])), None)

    def is_offered(self, task: TaskView) -> bool:
        """Return whether a task's sources differ from its build in a way that was not dismissed."""
        return bool(task.source_changes) and self.dismissed.get(task.slug) != _difference(task)

    def silent_seconds(self, now: datetime) -> int:
        """Return for how many whole seconds nothing was heard."""
        return max(0, int((now - (self.heard_at or datetime.fromtimestamp(0, UTC))).total_seconds()))


def _difference(task: TaskView) -> tuple[str, ...]:
    return (*task.source_changes, task.source_error)


def _shape(task: TaskView) -> tuple[object, ...]:
    held = task.failures if task.held_since else 0
    return (task.name, task.schedule_description, bool(task.source_changes), task.pause, held)


def _by_name(task: TaskView) -> tuple[object, ...]:
    return name_key(task.name)


def _service_order(view: ServiceView) -> tuple[int, str]:
    return (SERVICES.index(view.name) if view.name in SERVICES else len(SERVICES), view.name)
