"""The parts of the engine: how each does, start, stop, restart, and what each writes about itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from keiji.engine_process import SERVICES
from keiji_engine.bus.views import LinkState, ServiceStatus, ServiceView
from keiji_tui.actions.action import Action, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.actions.requests import under_way
from keiji_tui.engine import service_logs
from keiji_tui.engine.link import LogLink
from keiji_tui.logs.pane import LogPane
from keiji_tui.logs.view import LogView
from keiji_tui.screens.base import BaseScreen
from keiji_tui.state.store import Store
from keiji_tui.text.format import format_ago, format_calendar, format_elapsed
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.columns import Column
from keiji_tui.widgets.header import service_glyph
from keiji_tui.widgets.table import Table

COLUMNS = (
    Column("mark", "", 1, 1, 0),
    Column("name", "SERVICE", 10, 14, 1),
    Column("status", "STATUS", 10, 12, 2),
    Column("since", "SINCE", 12, 30, 4),
    Column("detail", "DETAIL", 8, 80, 5),
)
_DUTIES = {
    "bus": "carries directives, state and logs between the engine and everybody else",
    "scheduler": "starts runs when they are due",
    "runner": "gives runs their processes and records how they end",
    "watcher": "notices that sources differ from their build",
}
_TROUBLED = (ServiceStatus.FAILED, ServiceStatus.DEGRADED)
_NO_RUNS = ("log-previous-run", "log-next-run", "log-stream")  # nothing is printed there, and no run begins


class ServicesScreen(BaseScreen):
    """A row for each service over the log of the selected one, or over those of all.

    Args:
        logs: what the engine writes about itself.
    """

    BINDINGS = bindings(Scope.SERVICE, Scope.EVERYWHERE)  # both, since one of each has the same key
    ABOUT = (Scope.SERVICE,)
    AUTO_FOCUS = "#services"

    def __init__(self, store: Store, home: str, *, readonly: bool, logs: LogLink) -> None:
        super().__init__(store, home, readonly=readonly)
        self._logs = logs
        self._has_all = False
        self.log_pane = LogPane(id="log-pane")

    def body(self) -> ComposeResult:
        yield AdaptiveLine(id="services-title", classes="title")
        yield Table(COLUMNS, self._cells, id="services")
        yield Static(id="duty", markup=False)
        yield self.log_pane

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    @property
    def service(self) -> ServiceView | None:
        return self.store.services.get(self.table.selected or "")

    @property
    def is_in_log(self) -> bool:
        return self.log_pane.has_focus_within

    @property
    def has_list_keys(self) -> bool:
        return False

    @property
    def places(self) -> tuple[Scope, ...]:
        return (Scope.LOG,) if self.is_in_log else self.ABOUT

    def keys(self) -> Sequence[Action]:
        return [*([BY_ID["engine-log"]] if self.is_in_log else []), *super().keys()]

    def is_idle(self, action: Action) -> bool:
        # While the engine is away, its key does what it does for a service.
        is_twice = action.id == "start-service" and self.store.link is LinkState.OFFLINE
        is_elsewhere = action.id in ("services", "logs", *_NO_RUNS)
        return is_twice or is_elsewhere or self.log_pane.is_idle(action) or super().is_idle(action)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def paint_body(self, now: datetime) -> None:
        store = self.store
        names = list(store.services) or list(SERVICES)
        self.table.styles.height = len(names) + 1
        self.table.set_rows(names)
        title = Content.styled("services", "bold")
        about = (Content.styled(text, "$text-muted") for text in (self._engine(now), ""))
        self.query_one("#services-title", AdaptiveLine).set_variants(*((title, text) for text in about))
        self.query_one("#duty", Static).update(self._about_selected())
        self.log_pane.at(store.zone, now.astimezone(store.zone).date(), is_live=True)

    def _engine(self, now: datetime) -> str:
        engine = self.store.engine
        if engine is None:
            return "no engine was seen yet"
        about = f"engine {plain(engine.version)} · pid {engine.pid}"
        if self._is_gone:
            return f"{about} · gone"
        return f"{about} · up {format_elapsed((now - engine.started_at).total_seconds())}"

    @property
    def _is_gone(self) -> bool:
        return self.store.link is LinkState.OFFLINE and not self.store.engine_is_running

    def _about_selected(self) -> Content:
        name, view = self.table.selected or "", self.service
        duty = (f"{plain(name)} {_DUTIES.get(name, '')}".rstrip(), "$text-muted")
        if view is None or not view.detail:
            return Content.assemble(duty)
        style = "$text-error" if view.status in _TROUBLED else "$foreground"
        return Content.assemble(duty, "\n", (plain(view.detail), style))

    def _cells(self, name: str) -> Mapping[str, Content]:
        view = self.store.services.get(name)
        if view is None or self._is_gone:
            return {
                "mark": Content.styled("?", "$text-muted"),
                "name": Content.styled(plain(name), "bold"),
                "status": Content.styled("gone" if view else "not seen", "$text-muted"),
            }
        verb = self.store.pending_of(view)
        zone = self.store.zone
        since = f"{format_calendar(view.since, self.now, zone)}, {format_ago(view.since, self.now, zone)}"
        return {
            "mark": service_glyph(view.status),
            "name": Content.styled(plain(view.name), "bold"),
            "status": Content.styled(under_way(verb), "$text-warning") if verb else Content(str(view.status)),
            "since": Content.styled(since, "$text-muted"),
            "detail": Content.styled(plain(view.detail), "$text-muted"),
        }

    # ── the log ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Table.Selected)
    def _row_selected(self, event: Table.Selected) -> None:
        event.stop()
        self._show_log()
        self.paint(self.now)

    @on(Table.Activated)
    def _row_activated(self, event: Table.Activated) -> None:
        event.stop()
        self.open_log()

    def _show_log(self) -> None:
        names = service_logs.SERVICES if self._has_all else (self.table.selected or SERVICES[0],)
        if names != self.log_pane.slugs:
            self.log_pane.show({name: name for name in names}, together="of the engine")
            follow: Callable[[], Awaitable[None]] = partial(self.log_pane.follow, self._logs)
            self.run_worker(follow, group="log", exclusive=True, exit_on_error=False)

    def open_log(self) -> None:
        """Give the log the whole screen."""
        self.add_class("-zoom-log")
        self.set_focus(self.query_one(LogView))
        self.paint(self.now)

    def all_logs(self) -> None:
        """Show what all services write, or again what the selected one does."""
        self._has_all = not self._has_all
        self._show_log()

    def other_pane(self) -> None:
        if self.is_in_log:
            self._close_log()
        else:
            self.set_focus(self.query_one(LogView))

    def zoom(self) -> None:
        if self.is_in_log:
            self.toggle_class("-zoom-log")

    def back(self) -> bool:
        if not self.is_in_log:
            return False
        if not self.log_pane.back():
            self._close_log()
            self.paint(self.now)
        return True

    def _close_log(self) -> None:
        self.remove_class("-zoom-log")
        self.set_focus(self.table)
