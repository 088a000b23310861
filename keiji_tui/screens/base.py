"""What every full screen has: the lines at the top, a warning over old data, and the keys at the bottom."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.screen import Screen

from keiji_engine.bus.views import LinkState, ServiceView, TaskView
from keiji_tui.actions import catalog
from keiji_tui.actions.action import Action, ActionContext, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.messages import RepaintRequested
from keiji_tui.state.store import Store
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.header import connection_banner, counts_line, engine_line, pause_banner
from keiji_tui.widgets.keybar import KeyBar
from keiji_tui.widgets.too_small import TooSmall, is_too_small


class BaseScreen(Screen[None]):
    """A full screen over the store.

    Args:
        home: the person's home, shown as ``~``.
    """

    BINDINGS = bindings(Scope.EVERYWHERE)
    ABOUT: ClassVar[tuple[Scope, ...]] = ()
    ALWAYS: ClassVar[tuple[Scope, ...]] = (Scope.EVERYWHERE,)

    def __init__(self, store: Store, home: str, *, readonly: bool) -> None:
        super().__init__()
        self.store = store
        self.home = home
        self.readonly = readonly
        self.is_ready = False
        self.now = datetime.fromtimestamp(0, UTC)  # as of when it was last painted

    def compose(self) -> ComposeResult:
        yield AdaptiveLine(id="heading")
        yield AdaptiveLine(id="counts")
        yield AdaptiveLine(id="banner")
        yield AdaptiveLine(id="paused")
        yield from self.body()
        yield KeyBar(id="keys")
        yield TooSmall()

    def on_mount(self) -> None:
        self.is_ready = True

    @on(events.Resize)
    def _cover_if_too_small(self, event: events.Resize) -> None:
        self.set_class(is_too_small(event.size), "-too-small")

    def on_screen_resume(self) -> None:
        self.post_message(RepaintRequested())

    @abstractmethod
    def body(self) -> ComposeResult:
        """What stands between the lines at the top and the keys."""

    @abstractmethod
    def paint_body(self, now: datetime) -> None:
        """Bring the body up to the store as of ``now``."""

    @property
    def subject(self) -> TaskView | None:
        """The task that keys are about here."""
        return None

    @property
    def service(self) -> ServiceView | None:
        """The service that keys are about here."""
        return None

    @property
    def has_list_keys(self) -> bool:
        """Whether the keys that filter and unmark tasks do so here."""
        return True

    @property
    def places(self) -> tuple[Scope, ...]:
        """What the keys at the bottom are about, by focus."""
        return self.ABOUT

    def back(self) -> bool:
        """Undo one thing that hides something; return whether there was one."""
        return False

    def other_pane(self) -> None:
        """Move the focus to the other pane and back, where there are two."""

    def zoom(self) -> None:
        """Give the focused pane the whole screen, or take it back, where there are several."""

    @property
    def action_context(self) -> ActionContext:
        store, task = self.store, self.subject
        return ActionContext(
            link=store.link,
            engine_lives=store.engine_is_running,
            readonly=self.readonly,
            task=task,
            service=self.service,
            is_offered=task is not None and store.is_rebuild_offered(task),
            offers=store.rebuild_offer(None) is not None,
            pause=store.pause,
            pending=store.pending_of(task) if task is not None else "",
            trouble=store.workspace_error,
        )

    def paint(self, now: datetime) -> None:
        """Bring the screen up to the store as of ``now``; costs next to nothing where nothing differs."""
        store, self.now = self.store, now
        self.query_one("#heading", AdaptiveLine).set_variants(*engine_line(store, now, self.home))
        self.query_one("#counts", AdaptiveLine).set_variants(
            *counts_line(store, has_hints=self.has_list_keys, readonly=self.readonly)
        )
        shown = connection_banner(store, now, readonly=self.readonly)
        line = self.query_one("#banner", AdaptiveLine)
        line.set_class(bool(shown), "-shown")
        line.set_class(store.link is LinkState.OFFLINE, "-offline")
        line.set_variants(*shown)
        told = pause_banner(store, now, catalog.BY_ID["pause-all"].key if store.is_live and not self.readonly else "")
        line = self.query_one("#paused", AdaptiveLine)
        line.set_class(bool(told), "-shown")
        line.set_variants(*told)
        self.set_class(store.link in (LinkState.OFFLINE, LinkState.STALE), "stale")
        self.paint_body(now)
        self.query_one(KeyBar).put(self.keys(), self.action_context, self.is_idle)

    def keys(self) -> Sequence[Action]:
        """Return what the bottom line shows."""
        return catalog.footer(*self.places)

    def is_idle(self, action: Action) -> bool:
        """Return whether an action is not worth a place at the bottom now."""
        return action.id in ("start-engine", "make-workspace", "resolve") and bool(action.blocked(self.action_context))
