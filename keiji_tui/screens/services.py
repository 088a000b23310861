"""The services of the engine: their status, their logs, and actions to start, stop and restart them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from keiji_tui.actions.requests import progress_label
from keiji_tui.background import start_worker
from keiji_tui.engine import service_logs
from keiji_tui.logs.pane import LogPane
from keiji_tui.logs.view import LogView
from keiji_tui.screens.base import BaseScreen, ScreenContext
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
_DESCRIPTIONS = {
    "bus": "connects terminals and commands to the engine",
    "scheduler": "starts runs when they are due",
    "runner": "starts the processes of runs and records their results",
    "watcher": "detects changed sources",
}
_TROUBLED = (ServiceStatus.FAILED, ServiceStatus.DEGRADED)
_NO_RUNS = ("log-previous-run", "log-next-run", "log-stream")  # service logs have neither streams nor runs


class ServicesScreen(BaseScreen):
    """The table of services over the log of the selected one, or over the merged logs of all."""

    BINDINGS = bindings(Scope.SERVICE, Scope.EVERYWHERE)  # both, because both use the key s
    SCOPES = (Scope.SERVICE,)
    AUTO_FOCUS = "#services"

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self._logs = context.link.service_logs
        self._has_all = False
        self.log_pane = LogPane(id="log-pane")

    def body(self) -> ComposeResult:
        yield AdaptiveLine(id="services-title", classes="title")
        yield Table(COLUMNS, self._cells, id="services")
        yield Static(id="service-description", markup=False)
        yield self.log_pane

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    @property
    def selected_service(self) -> ServiceView | None:
        return self.store.services.get(self.table.selected or "")

    @property
    def is_in_log(self) -> bool:
        return self.log_pane.has_focus_within

    @property
    def has_task_list_keys(self) -> bool:
        return False

    @property
    def scopes(self) -> tuple[Scope, ...]:
        return (Scope.LOG,) if self.is_in_log else self.SCOPES

    def footer_actions(self) -> Sequence[Action]:
        return [*([BY_ID["engine-log"]] if self.is_in_log else []), *super().footer_actions()]

    def is_hidden(self, action: Action) -> bool:
        # While the engine is offline, the key starts the engine.
        is_duplicate = action.id == "start-service" and self.store.link is LinkState.OFFLINE
        is_inapplicable = action.id in ("services", "logs", *_NO_RUNS)
        return is_duplicate or is_inapplicable or self.log_pane.is_idle(action) or super().is_hidden(action)

    def disabled_reason(self, action: Action) -> str:
        if action.id == "start-service" and self.store.link is LinkState.OFFLINE:
            return super().disabled_reason(BY_ID["start-engine"])
        return super().disabled_reason(action)

    async def action_start_service(self) -> None:
        """Start the selected service, or the engine while it is offline."""
        is_offline = self.store.link is LinkState.OFFLINE
        await self.app.run_action("start_engine" if is_offline else "send('start-service')", self.app)

    # ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def paint_body(self, now: datetime) -> None:
        store = self.store
        names = list(store.services) or list(SERVICES)
        self.table.styles.height = len(names) + 1
        self.table.set_rows(names)
        title = Content.styled("services", "bold")
        about = (Content.styled(text, "$text-muted") for text in (self._engine(now), ""))
        self.query_one("#services-title", AdaptiveLine).set_variants(*((title, text) for text in about))
        self.query_one("#service-description", Static).update(self._about_selected())
        self.log_pane.set_clock(store.zone, now.astimezone(store.zone).date(), is_live=True)

    def _engine(self, now: datetime) -> str:
        engine = self.store.engine
        if engine is None:
            return "not connected to an engine yet"
        about = f"engine {plain(engine.version)} · pid {engine.pid}"
        if self._is_gone:
            return f"{about} · offline"
        return f"{about} · up {format_elapsed((now - engine.started_at).total_seconds())}"

    @property
    def _is_gone(self) -> bool:
        return self.store.link is LinkState.OFFLINE and not self.store.engine_is_running

    def _about_selected(self) -> Content:
        name, view = self.table.selected or "", self.selected_service
        description = (f"{plain(name)} {_DESCRIPTIONS.get(name, '')}".rstrip(), "$text-muted")
        if view is None or not view.detail:
            return Content.assemble(description)
        style = "$text-error" if view.status in _TROUBLED else "$foreground"
        return Content.assemble(description, "\n", (plain(view.detail), style))

    def _cells(self, name: str) -> Mapping[str, Content]:
        view = self.store.services.get(name)
        if view is None or self._is_gone:
            return {
                "mark": Content.styled("?", "$text-muted"),
                "name": Content.styled(plain(name), "bold"),
                "status": Content.styled("offline" if view else "unknown", "$text-muted"),
            }
        verb = self.store.pending_of(view)
        zone = self.store.zone
        since = f"{format_calendar(view.since, self.now, zone)}, {format_ago(view.since, self.now, zone)}"
        return {
            "mark": service_glyph(view.status),
            "name": Content.styled(plain(view.name), "bold"),
            "status": Content.styled(progress_label(verb), "$text-warning") if verb else Content(str(view.status)),
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
        self.action_open_log()

    def _show_log(self) -> None:
        names = service_logs.SERVICES if self._has_all else (self.table.selected or SERVICES[0],)
        if names != self.log_pane.slugs:
            self.log_pane.show({name: name for name in names}, group_name="of the engine")
            start_worker(self, partial(self.log_pane.follow, self._logs), group="log", exclusive=True)

    def action_open_log(self) -> None:
        """Maximise the log."""
        self.add_class("-zoom-log")
        self.set_focus(self.query_one(LogView))
        self.paint(self.now)

    def action_toggle_all_logs(self) -> None:
        """Switch between the logs of all services and that of the selected one."""
        self._has_all = not self._has_all
        self._show_log()

    def action_other_pane(self) -> None:
        if self.is_in_log:
            self._close_log()
        else:
            self.set_focus(self.query_one(LogView))
        self.repaint()

    def action_zoom(self) -> None:
        if self.is_in_log:
            self.toggle_class("-zoom-log")

    def go_back(self) -> bool:
        if not self.is_in_log:
            return False
        if not self.log_pane.back():
            self._close_log()
        return True

    def _close_log(self) -> None:
        self.remove_class("-zoom-log")
        self.set_focus(self.table)
