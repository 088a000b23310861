"""The base of full screens: the header, a banner over stale data, a body, and the keys at the bottom."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.screen import Screen

from keiji.records import Run
from keiji_engine.bus.views import BackfillView, LinkState, ServiceView, TaskView
from keiji_tui.actions import catalog
from keiji_tui.actions.action import Action, ActionContext, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.engine.link import Link
from keiji_tui.state.store import Store
from keiji_tui.terminal.sizes import ignore_outdated_size
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.header import connection_banner, counts_line, engine_line, pause_banner
from keiji_tui.widgets.keybar import KeyBar
from keiji_tui.widgets.too_small import TooSmall, is_too_small

WIDE = 160  # columns from which screens show two panes side by side
NOT_NOW = "not now"  # ends the title of a message that says why an action is disabled


@dataclass(frozen=True, slots=True)
class ScreenContext:
    """What every screen works with.

    Args:
        store: the state of the engine, as far as it is known.
        link: the connection to the engine.
        clock: returns the current time, with a time zone.
        home: the home directory of the user, shown as ``~``.
        readonly: whether changes are disabled.
    """

    store: Store
    link: Link
    clock: Callable[[], datetime]
    home: str = ""
    readonly: bool = False


class BaseScreen(Screen[None]):
    """A full screen over the store.

    Attributes:
        SCOPES: the scopes of its own keys.
        is_ready: whether it can be painted.
        now: when it was last painted.
    """

    BINDINGS = bindings(Scope.EVERYWHERE)
    SCOPES: ClassVar[tuple[Scope, ...]] = ()

    def __init__(self, context: ScreenContext) -> None:
        super().__init__()
        self.context = context
        self.store = context.store
        self.is_ready = False
        self.now = datetime.fromtimestamp(0, UTC)

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
    def _resized(self, event: events.Resize) -> None:
        ignore_outdated_size(self, event)
        self.set_class(is_too_small(event.size), "-too-small")

    def on_screen_resume(self) -> None:
        self.repaint()

    # ── what subclasses define ───────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def body(self) -> ComposeResult:
        """Return what is between the header and the keys."""

    @abstractmethod
    def paint_body(self, now: datetime) -> None:
        """Update the body to the store as of ``now``."""

    @property
    def selected_task(self) -> TaskView | None:
        """The task that the keys act on."""
        return None

    @property
    def marked_tasks(self) -> Sequence[TaskView]:
        """The tasks that the keys of bulk actions act on together; empty if none are marked."""
        return ()

    @property
    def selected_service(self) -> ServiceView | None:
        """The service that the keys act on."""
        return None

    @property
    def selected_run(self) -> Run | None:
        """The run that the keys act on."""
        return None

    @property
    def selected_backfill(self) -> BackfillView | None:
        """The backfill that the keys act on."""
        return None

    @property
    def has_task_list_keys(self) -> bool:
        """Whether the keys that filter and unmark tasks work here; the header names them."""
        return True

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes of the keys at the bottom, which depend on the focus."""
        return self.SCOPES

    def go_back(self) -> bool:
        """Undo one thing that hides something, such as a filter; return whether there was one."""
        return False

    def reconnected(self) -> None:
        """Read again what ended with the connection; called after each snapshot of an engine."""

    # ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def repaint(self) -> None:
        """Update the screen to the store as of now, unless it is still being opened or already being closed."""
        if self.is_ready and self in self.app.screen_stack:
            self.paint(self.context.clock())

    def paint(self, now: datetime) -> None:
        """Update the screen to the store as of ``now``; this is cheap if nothing has changed."""
        store, self.now = self.store, now
        readonly = self.context.readonly
        self.query_one("#heading", AdaptiveLine).set_variants(*engine_line(store, now, self.context.home))
        self.query_one("#counts", AdaptiveLine).set_variants(
            *counts_line(store, has_hints=self.has_task_list_keys, readonly=readonly)
        )
        sides = connection_banner(store, now, readonly=readonly)
        line = self.query_one("#banner", AdaptiveLine)
        line.set_class(bool(sides), "-shown")
        line.set_class(store.link is LinkState.OFFLINE, "-offline")
        line.set_variants(*sides)
        sides = pause_banner(store, now, catalog.BY_ID["pause-all"].key if store.is_live and not readonly else "")
        line = self.query_one("#paused", AdaptiveLine)
        line.set_class(bool(sides), "-shown")
        line.set_variants(*sides)
        self.set_class(store.link in (LinkState.OFFLINE, LinkState.STALE), "stale")
        self.paint_body(now)
        self.query_one(KeyBar).put(self.footer_actions(), self.action_context, self.is_hidden)

    # ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def action_context(self) -> ActionContext:
        """What the rules of actions depend on."""
        store, task = self.store, self.selected_task
        return ActionContext(
            link=store.link,
            engine_lives=store.engine_is_running,
            readonly=self.context.readonly,
            task=task,
            service=self.selected_service,
            run=self.selected_run,
            backfill=self.selected_backfill,
            is_offered=task is not None and store.is_rebuild_offered(task),
            offers=store.rebuild_offer(None) is not None,
            pause=store.pause,
            pending=store.pending_of(task) if task is not None else "",
            trouble=store.workspace_error,
        )

    def footer_actions(self) -> Sequence[Action]:
        """Return the actions of the bottom line."""
        return catalog.footer_actions(*self.scopes)

    def is_hidden(self, action: Action) -> bool:
        """Return whether the bottom line leaves out an action for now."""
        is_rare = action.id in ("start-engine", "make-workspace", "resolve")
        return is_rare and bool(action.disabled_reason(self.action_context))

    def disabled_reason(self, action: Action) -> str:
        """Return why an action is disabled on this screen now, "" if it is enabled."""
        return action.disabled_reason(self.action_context)

    async def action_act(self, name: str) -> None:
        """Run an action of the catalog, or say why it is disabled.

        Keys, the palette and clicks on the bottom line all end up here. An action without a namespace belongs to the
        focused widget or to one around it.
        """
        action = catalog.BY_ID[name]
        reason = self.disabled_reason(action)
        if reason:
            self.refuse(action, reason)
            return
        nodes = (self, self.app) if self.focused is None else self.focused.ancestors_with_self
        for node in nodes:
            if await self.app.run_action(action.call, node):
                return

    def refuse(self, action: Action, reason: str) -> None:
        """Say why an action is disabled."""
        self.app.notify(plain(reason), title=f"{action.label}: {NOT_NOW}", severity="warning", markup=False)

    async def action_filter(self) -> None:
        """Open the filter of the list of tasks; a screen with a list of its own opens that one."""
        await self.app.run_action("filter_tasks", self.app)

    def action_other_pane(self) -> None:
        """Move the focus to the other pane, if there are two."""

    def action_zoom(self) -> None:
        """Maximise or restore the focused pane, if there are several."""

    def action_back(self) -> None:
        """Undo one thing that hides something, or else close the screen."""
        if self.go_back() or not self.is_closable:
            self.repaint()
        elif self.is_current:
            self.app.pop_screen()

    @property
    def is_closable(self) -> bool:
        """Whether there is a screen below."""
        return True

    def action_hide_offer(self) -> None:
        """Hide the rebuild offer for the selected task."""
        if self.selected_task is not None:
            self.store.dismiss(self.selected_task.slug)
            self.repaint()
