"""`keiji-tui`: wiring of link, store and screens, and what keys do."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.command import Provider
from textual.filter import LineFilter
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import Worker, WorkerState

from keiji_engine.bus.protocol import Directive, PauseSystem, Snapshot
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_tui.actions import action, catalog, requests
from keiji_tui.actions.action import Action
from keiji_tui.actions.bulk import BULK_ACTIONS
from keiji_tui.actions.key_queue import KeyOrder
from keiji_tui.engine.directives import DirectiveSender
from keiji_tui.engine.link import Link
from keiji_tui.external import in_editor
from keiji_tui.list_keys import ListKeys
from keiji_tui.log_openings import LogOpenings
from keiji_tui.messages import TaskSelected
from keiji_tui.screens.base import BaseScreen
from keiji_tui.screens.build_output import DirectiveOutputScreen
from keiji_tui.screens.confirm import ConfirmScreen
from keiji_tui.screens.help import HelpScreen
from keiji_tui.screens.palette import Actions, Palette
from keiji_tui.screens.reason import ReasonScreen
from keiji_tui.screens.tasks import TasksScreen
from keiji_tui.screens.why import WhyScreen
from keiji_tui.state.store import Store
from keiji_tui.text.sanitise import plain
from keiji_tui.theme.colourless import ColourlessFilter
from keiji_tui.theme.themes import DARK, KEIJI_THEMES, custom_variables, readable_variables

APPLY_SECONDS = 0.05  # what arrives is shown together, this often at most; the first of it at once
SETTLE_SECONDS = 0.15  # a selection that moves on sooner does not subscribe to a log; the first one does at once
_AT_ONCE = 0.001
AGAIN_SECONDS = 1.0
_BREATH = 64  # updates after which keys get a turn
_NO_COLOURS = ColourlessFilter()


class ControlCenter(KeyOrder, LogOpenings, ListKeys):
    """The terminal.

    Args:
        link: the way to the engine.
        clock: returns what time it is, aware.
        home: the person's home, shown as ``~``.
        zone: the name of this machine's time zone.
        task: the task to select at first, by name or slug.
        run: the run of it whose log is to be opened: its id or the beginning of that, "last" or "failed".
        readonly: whether nothing may be changed.
        keys: those that actions have instead of the usual ones, by the id of the action.
        complaints: what is to be told at once, such as lines of the file of keys that were not followed.
        theme: the one to begin with, where there is such a one; else ours.
        remember: is told which theme somebody has chosen.
        edit: opens a file for somebody to edit and returns when they are done; raises KeijiError, saying why not.
        output_filters: applied to everything that is painted.
    """

    TITLE = "keiji"
    CSS_PATH = "theme/keiji.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Actions}
    NOTIFICATION_TIMEOUT = 4

    def __init__(
        self,
        link: Link,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        home: str = "",
        zone: str = "UTC",
        task: str | None = None,
        run: str | None = None,
        readonly: bool = False,
        keys: Mapping[str, tuple[str, ...]] | None = None,
        complaints: Sequence[str] = (),
        theme: str = "",
        remember: Callable[[str], None] = lambda _: None,
        edit: Callable[[App[None], Path], None] = in_editor,
        output_filters: Sequence[LineFilter] = (),
    ) -> None:
        action.bind(keys or {})
        super().__init__()
        if keys:
            # All of them, so that what shares a key with one that has moved keeps it.
            self.set_keymap({action.id: ",".join(action.keys) for action in catalog.ACTIONS})
        self.output_filters = tuple(output_filters)
        self._complaints = complaints
        self._remember = remember
        self._edit = edit
        self.store = Store(local_zone=zone)
        self._link = link
        self._now = clock
        self._home = home
        self._readonly = readonly
        self._tasks_screen = TasksScreen(self.store, home, readonly=readonly, task=task)
        show = self.show_failed_build
        self._errands = DirectiveSender(
            link, self.store, self.notify, self._changed, clock=clock, show_failed_build=show
        )
        self._run_asked_for = (task, run) if task and run else None
        self._apply_timer: Timer | None = None
        self._settle_timer: Timer | None = None
        self._applied_at = self._selected_at = -1.0  # on the monotonic clock
        for ours in KEIJI_THEMES:
            self.register_theme(ours)
        self.theme = theme if theme in self.available_themes else DARK.name

    def get_default_screen(self) -> Screen[None]:
        return self._tasks_screen

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return custom_variables(self.current_theme)

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = (_NO_COLOURS,) if self.no_color else super().get_line_filters()
        return (*filters, *self.output_filters)

    def get_css_variables(self) -> dict[str, str]:
        self.theme_variables = readable_variables(super().get_css_variables(), is_dark=self.current_theme.dark)
        return self.theme_variables

    # ── what the engine tells ────────────────────────────────────────────────────────────────────────────────────────

    def on_mount(self) -> None:
        self._tick()
        self.complain_of(tuple(map(plain, self._complaints)))
        self.theme_changed_signal.subscribe(self, lambda theme: self._remember(theme.name))
        self.call_after_refresh(self._watch)

    def _watch(self) -> None:
        self._start(self._take_updates, "updates")

    async def _take_updates(self) -> None:
        count = 0
        async for update in self._link.updates():
            self.store.apply(update, self._now())
            if isinstance(update, Snapshot):
                gc.freeze()  # what is there now, the toolkit with it, stays: looking through it again would be a stall
                self._follow()
                self._follow_logs()
            elif isinstance(update, LinkChanged):
                self._look_at_workspace()
            self._changed()
            count += 1
            if count % _BREATH == 0:
                await asyncio.sleep(0)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Go on after a failure of ours: a terminal that people keep open does not end with it."""
        if event.state is not WorkerState.ERROR:
            return
        reason = plain(str(event.worker.error) or type(event.worker.error).__name__)
        if event.worker.group == "updates":
            self.store.apply(LinkChanged(LinkState.OFFLINE, reason), self._now())
            self.set_timer(AGAIN_SECONDS, self._watch)
            self._changed()
        else:
            self._errands.report_error(reason)

    def _changed(self) -> None:
        if self._apply_timer is None:
            wait = self._applied_at + APPLY_SECONDS - time.monotonic()
            self._apply_timer = self.set_timer(max(_AT_ONCE, wait), self._apply)

    def _apply(self) -> None:
        self._apply_timer = None
        self._paint()
        self._applied_at = time.monotonic()

    def _look_at_workspace(self) -> None:
        if self.store.link is LinkState.OFFLINE and not self.store.engine_is_running:
            self._start(self._errands.check_workspace, "workspace")

    def _tick(self) -> None:
        self._look_at_workspace()
        self._paint()
        self.set_timer(1.0 - self._now().microsecond / 1e6, self._tick)

    @property
    def board(self) -> BaseScreen:
        """The full screen that is on top, under whatever asks something."""
        return next((s for s in reversed(self.screen_stack) if isinstance(s, BaseScreen)), self._tasks_screen)

    def _paint(self) -> None:
        if self._is_open:
            self.board.paint(self._now())
            if isinstance(self.screen, WhyScreen | DirectiveOutputScreen):
                self.screen.paint(self._now())

    @property
    def _is_open(self) -> bool:
        """Whether there is a screen to paint; a last timer may fire while all is being closed."""
        return self.is_running and self.board.is_ready

    def on_repaint_requested(self) -> None:
        self._paint()

    # ── the log of the selected task ─────────────────────────────────────────────────────────────────────────────────

    def on_task_selected(self, event: TaskSelected) -> None:
        task = self.store.tasks.get(event.slug or "")
        self.workers.cancel_group(self, "log")
        self._tasks_screen.log_pane.show({task.slug: task.name} if task else {})
        self._paint()
        if self._settle_timer is not None:
            self._settle_timer.stop()
        selected_at, self._selected_at = self._selected_at, time.monotonic()
        is_first = self._selected_at - selected_at > SETTLE_SECONDS
        self._settle_timer = self.set_timer(_AT_ONCE if is_first else SETTLE_SECONDS, self._follow)

    def _follow(self) -> None:
        if not self._is_open:
            return
        task = self._tasks_screen.subject
        self.workers.cancel_group(self, "log")
        if task is not None:
            self._start(partial(self._tasks_screen.log_pane.follow, self._link), "log")

    # ── what keys do ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def action_act(self, name: str) -> None:
        """Carry out a declared action, or say why it is not possible now."""
        board = self.board
        if name == "start-service" and self.store.link is LinkState.OFFLINE:
            name = "start-engine"
        action = catalog.BY_ID[name]
        action_context = board.action_context
        if name in BULK_ACTIONS and board is self._tasks_screen and self.store.marks:
            self._ask_together(action, action_context)
            return
        reason = action.blocked(action_context)
        if reason:
            self._refuse(action, reason)
            return
        directive = requests.directive_for(name, action_context)
        if directive is None:
            getattr(self, f"_do_{name.replace('-', '_')}")()
            return
        self._ask_and_send(action, directive, requests.about(directive, action_context))

    def _ask_and_send(self, action: Action, directive: Directive, name: str) -> None:
        def send(directive: Directive) -> None:
            self._errands.mark_sent(directive)
            self._start(partial(self._errands.send, directive, name))

        def answered(is_yes: bool | None) -> None:
            if is_yes:
                send(directive)

        def reasoned(reason: str | None) -> None:
            if reason is not None:
                send(requests.because(directive, reason))

        if isinstance(directive, PauseSystem):
            self.push_screen(ReasonScreen(), reasoned)
        elif action.is_asked(self.board.action_context):
            self.push_screen(ConfirmScreen(requests.question(directive, name)), answered)
        else:
            send(directive)

    def _start(self, work: Callable[[], Awaitable[None]], group: str = "directives") -> None:
        """Do ``work`` beside everything else; `on_worker_state_changed` takes care of its failure."""
        self.run_worker(work, name=group, group=group, exit_on_error=False)

    def _do_dismiss(self) -> None:
        task = self.board.subject
        if task is not None:
            self.store.dismiss(task.slug)
            self._paint()

    def _do_offered(self) -> None:
        task = self.store.rebuild_offer(None)
        if task is not None:
            self._to_tasks()
            if task.slug not in self.store.visible_slugs():
                self._tasks_screen.drop_filter()
            self._tasks_screen.table.select(task.slug)

    def _do_start_engine(self) -> None:
        self._start(self._errands.start_engine)

    def _do_make_workspace(self) -> None:
        self._start(self._errands.create_workspace)

    def _do_tasks(self) -> None:
        self._to_tasks()
        self._tasks_screen.back()

    def _to_tasks(self) -> None:
        while self.board is not self._tasks_screen:
            self.pop_screen()

    def _do_panes(self) -> None:
        self.board.other_pane()
        self._paint()

    def _do_zoom(self) -> None:
        self.board.zoom()

    def _do_back(self) -> None:
        board = self.board
        if board.back() or board is self._tasks_screen:
            self._paint()
            return
        while self.board is board is not self._tasks_screen:
            self.pop_screen()

    def _do_help(self) -> None:
        board = self.board
        places = dict.fromkeys((*board.places, *board.ABOUT, *board.ALWAYS))
        self.push_screen(HelpScreen(tuple(places), board.action_context))

    def _do_palette(self) -> None:
        self.action_command_palette()

    def action_command_palette(self) -> None:
        """Show the palette."""
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette())

    def action_help_quit(self) -> None:
        """Say how to leave, to somebody who presses what ends other programs."""
        self.notify(f"{catalog.BY_ID['quit'].key} leaves; the engine and its tasks keep running", markup=False)

    def _do_quit(self) -> None:
        self.exit()

    async def on_unmount(self) -> None:
        await self._link.close()
