"""The parts of the engine: how each does, and start, stop, restart."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from keiji_engine.bus.views import ServiceStatus, ServiceView
from keiji_tui.commands import under_way
from keiji_tui.keymap import Action, Place
from keiji_tui.logs.sanitise import plain
from keiji_tui.screens.board import Board
from keiji_tui.store import Store
from keiji_tui.widgets.bindings import bindings
from keiji_tui.widgets.columns import Column
from keiji_tui.widgets.heading import service_mark
from keiji_tui.widgets.line import Line
from keiji_tui.widgets.table import Table
from keiji_tui.words import ago, calendar, elapsed

COLUMNS = (
    Column("mark", "", 1, 1, 0),
    Column("name", "SERVICE", 10, 14, 1),
    Column("status", "STATUS", 10, 12, 2),
    Column("since", "SINCE", 12, 24, 4),
    Column("detail", "DETAIL", 8, 80, 5),
)
_DUTIES = {
    "bus": "carries directives, state and logs between the engine and everybody else",
    "scheduler": "starts runs when they are due",
    "runner": "gives runs their processes and records how they end",
    "watcher": "notices that sources differ from their build",
}


class ServicesScreen(Board):
    """A row for each service."""

    BINDINGS = bindings(Place.SERVICE, Place.EVERYWHERE)  # both, since one of each has the same key
    ABOUT = (Place.SERVICE,)
    AUTO_FOCUS = "#services"

    def __init__(self, store: Store, home: str, *, readonly: bool) -> None:
        super().__init__(store, home, readonly=readonly)
        self._told = Content("")

    def body(self) -> ComposeResult:
        yield Line(id="services-title", classes="title")
        yield Table(COLUMNS, self._cells, id="services")
        yield Static(id="service", classes="written-out")

    @property
    def service(self) -> ServiceView | None:
        return self.store.services.get(self.query_one(Table).selected or "")

    def is_idle(self, action: Action) -> bool:
        return action.id in ("services", "logs") or super().is_idle(action)

    def paint_body(self, now: datetime) -> None:
        engine = self.store.engine
        texts = ["no engine was seen yet"]
        if engine is not None:
            up = elapsed((now - engine.started_at).total_seconds())
            texts = [f"engine {plain(engine.version)} · pid {engine.pid} · up {up}", f"pid {engine.pid} · up {up}"]
        title = Content.styled("services", "bold")
        self.query_one("#services-title", Line).put(*((title, Content.styled(text, "$text-muted")) for text in texts))
        self.query_one(Table).put(list(self.store.services))
        self._write_out()

    @on(Table.Selected)
    def _write_out(self) -> None:
        """Write out what the selected service does and how it does, for which its row may have no room."""
        view = self.service
        lines = []
        if view is not None:
            lines.append(Content.styled(f"{plain(view.name)} {_DUTIES.get(view.name, '')}".strip(), "$text-muted"))
            is_bad = view.status is ServiceStatus.FAILED
            lines += [Content.styled(plain(view.detail, 2000), "$text-error" if is_bad else "")] if view.detail else []
        text = Content("\n").join(lines)
        if not text.is_same(self._told):
            self._told = text
            self.query_one("#service", Static).update(text)
            self.query_one("#service").set_class(bool(lines), "-shown")

    def _cells(self, name: str) -> Mapping[str, Content]:
        view = self.store.services.get(name)
        if view is None:
            return {}
        verb = self.store.pending_of(view)
        since = f"{calendar(view.since, self.now, self.store.zone)}, {ago(view.since, self.now, self.store.zone)}"
        return {
            "mark": service_mark(view.status),
            "name": Content.styled(plain(view.name), "bold"),
            "status": Content.styled(under_way(verb), "$text-warning") if verb else Content(str(view.status)),
            "since": Content.styled(since, "$text-muted"),
            "detail": Content.styled(plain(view.detail) or _DUTIES.get(view.name, ""), "$text-muted"),
        }
