"""The app of `keiji-tui`: connects link, store and screens, sends directives, and switches screens."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.app import App
from textual.command import Provider
from textual.driver import Driver
from textual.filter import LineFilter
from textual.notifications import Notify
from textual.screen import Screen
from textual.theme import Theme, ThemeProvider
from textual.timer import Timer

from keiji.errors import BuildFailed, KeijiError
from keiji.names import slug_of
from keiji_engine.bus.protocol import BuildTask, Directive, Done, PauseSystem, RunTask, Snapshot
from keiji_engine.bus.views import LinkChanged, LinkState, TaskView
from keiji_tui.actions import action, bulk, catalog, requests
from keiji_tui.actions.action import Action, Scope
from keiji_tui.actions.bulk import BULK_ACTIONS
from keiji_tui.actions.key_queue import KeyQueue, Typed, is_foreign_letter
from keiji_tui.background import WorkFailed, start_worker
from keiji_tui.engine.directives import DirectiveSender
from keiji_tui.engine.link import Link
from keiji_tui.external import open_in_editor
from keiji_tui.notifications import replaces, summary
from keiji_tui.screens.backfill_form import BackfillFormScreen
from keiji_tui.screens.backfills import BackfillsScreen
from keiji_tui.screens.base import BaseScreen, ScreenContext
from keiji_tui.screens.build_output import BuildOutputScreen
from keiji_tui.screens.detail import DetailScreen
from keiji_tui.screens.dialogs import ConfirmScreen, Modal, ReasonScreen
from keiji_tui.screens.difference import DifferenceScreen
from keiji_tui.screens.form import FormScreen
from keiji_tui.screens.help import HelpScreen
from keiji_tui.screens.ledger import LedgerScreen
from keiji_tui.screens.log import MergedLogScreen, open_run
from keiji_tui.screens.new_task import NewTaskScreen
from keiji_tui.screens.palette import Actions, Palette
from keiji_tui.screens.run_form import RunFormScreen
from keiji_tui.screens.runs import RunsScreen
from keiji_tui.screens.services import ServicesScreen
from keiji_tui.screens.tasks import TasksScreen
from keiji_tui.screens.upcoming import UpcomingScreen
from keiji_tui.screens.why import WhyScreen
from keiji_tui.state.draft import Draft
from keiji_tui.state.store import Store
from keiji_tui.terminal.clipboard import Clipboard
from keiji_tui.terminal.driver import TerminalDriver
from keiji_tui.text.commands import SENDER
from keiji_tui.text.sanitise import plain
from keiji_tui.theme.colourless import ColourlessFilter
from keiji_tui.theme.themes import DARK, KEIJI_THEMES, custom_variables, readable_variables

MIN_PAINT_SECONDS = 0.05  # between paints of updates; the first update is painted at once
RETRY_SECONDS = 1.0
_AT_ONCE = 0.001
_UPDATES_PER_TURN = 64  # updates after which keys get a turn
_NO_COLOURS = ColourlessFilter()

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())  # the default one would write over the screen


class ControlCenter(App[None]):
    """The terminal application.

    Args:
        link: the connection to the engine.
        clock: returns the current time, with a time zone.
        home: the home directory of the user, shown as ``~``.
        zone: the name of the time zone of this machine.
        task: the name or slug of the task to select first.
        run: the run of that task whose log to open: a prefix of its id, "last" or "failed".
        readonly: whether changes are disabled.
        keys: the keys that differ from the defaults, by action id.
        config_errors: errors in the configuration files; shown at start-up.
        theme: the initial theme; an unknown one is ignored.
        save_theme: saves the name of the theme that the user chose; may raise OSError.
        clipboard: the clipboard of the terminal; by default, that of a terminal without a multiplexer.
        edit: opens a file in an editor and returns when the user is done; raises KeijiError.
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
        config_errors: Sequence[str] = (),
        theme: str = "",
        save_theme: Callable[[str], None] = lambda _: None,
        clipboard: Clipboard | None = None,
        edit: Callable[[App[None], Path], None] = open_in_editor,
        output_filters: Sequence[LineFilter] = (),
    ) -> None:
        action.rebind(keys or {})
        super().__init__()
        if keys:
            # Set all keys, so that an action that shared a key with a rebound one keeps it.
            self.set_keymap({action.id: ",".join(action.keys) for action in catalog.ACTIONS})
        self.output_filters = tuple(output_filters)
        self._config_errors = config_errors
        self._save_theme = save_theme
        self._terminal_clipboard = clipboard or Clipboard({})
        self._edit = edit
        self._link = link
        self._clock = clock
        self.store = Store(local_zone=zone)
        self.screen_context = ScreenContext(self.store, link, clock, home, readonly)
        self.tasks_screen = TasksScreen(self.screen_context, task=task)
        self._sender = DirectiveSender(link, self.store, self._changed, clock=clock)
        self.key_queue = KeyQueue(self, self._dispatch)
        self._draft = Draft()
        self._initial_run = (task, run) if task and run else None
        self._paint_timer: Timer | None = None
        self._painted_at = -1.0  # on the monotonic clock
        self._is_frozen = False
        for ours in KEIJI_THEMES:
            self.register_theme(ours)
        self.theme = theme if theme in self.available_themes else DARK.name

    def get_driver_class(self) -> type[Driver]:
        return TerminalDriver

    def get_default_screen(self) -> Screen[None]:
        return self.tasks_screen

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return custom_variables(self.current_theme)

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = (_NO_COLOURS,) if self.no_color else super().get_line_filters()
        return (*filters, *self.output_filters)

    def get_css_variables(self) -> dict[str, str]:
        self.theme_variables = readable_variables(super().get_css_variables(), is_dark=self.current_theme.dark)
        return self.theme_variables

    # ── updates ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def on_mount(self) -> None:
        self._tick()
        if self._config_errors:
            self.notify(
                summary([plain(error) for error in self._config_errors]), severity="warning", timeout=12, markup=False
            )
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        self.call_after_refresh(self._start_updates)

    def _start_updates(self) -> None:
        start_worker(self, self._apply_updates, group="updates")

    @property
    def clipboard(self) -> str:
        return self._terminal_clipboard.text

    def copy_to_clipboard(self, text: str) -> None:
        """Copy text and show a message with the result."""
        if text:
            start_worker(self, partial(self._copy_to_clipboard, text, super().copy_to_clipboard), group="clipboard")
        else:
            self.notify("nothing to copy", severity="warning", timeout=3, markup=False)

    def action_copy_selection(self) -> None:
        """Copy the text that was selected with the mouse."""
        if text := self.screen.get_selected_text():
            self.copy_to_clipboard(text)
        else:
            self.notify("no text is selected; drag over it with the mouse", severity="warning", timeout=3, markup=False)

    async def _copy_to_clipboard(self, text: str, send: Callable[[str], None]) -> None:
        self.notify(await self._terminal_clipboard.copy(text, send), timeout=3, markup=False)

    def _theme_changed(self, theme: Theme) -> None:
        try:
            self._save_theme(theme.name)
        except OSError as error:
            reason = plain(error.strerror or str(error))
            self.notify(f"{reason}\n{theme.name} is used for this session only", title="theme not saved",
                        severity="warning", markup=False)  # fmt: skip

    async def _apply_updates(self) -> None:
        count = 0
        async for update in self._link.updates():
            self.store.apply(update, self._clock())
            if isinstance(update, Snapshot):
                if not self._is_frozen:
                    # Exempt the long-lived objects from garbage collection, which would stall the screen. Only once:
                    # frozen objects are never freed, so freezing later would keep closed screens alive.
                    self._is_frozen = True
                    gc.freeze()
                self._reconnected()
            elif isinstance(update, LinkChanged):
                self._check_workspace()
            self._changed()
            count += 1
            if count % _UPDATES_PER_TURN == 0:
                await asyncio.sleep(0)

    def _reconnected(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, BaseScreen) and screen.is_mounted:
                screen.reconnected()
        if self._initial_run is not None:
            name, run = self._initial_run
            self._initial_run = None
            start_worker(self, partial(self._open_run, name, run), group="open")

    async def _open_run(self, name: str, run: str) -> None:
        slug = next((slug for slug, task in self.store.tasks.items() if name in (slug, task.name)), None)
        if slug is None:
            return  # the list of tasks says so
        try:
            screen = await open_run(self.screen_context, slug, run)
        except KeijiError as error:
            self.notify_error(error)
            return
        if screen is None:
            self.notify(f"{plain(name)} has no run {plain(run)}", severity="warning", markup=False)
        else:
            self.push_screen(screen)

    def on_work_failed(self, event: WorkFailed) -> None:
        """Report a failure of background work, and carry on: users keep a terminal open for days."""
        logger.error("background work failed: %s", event.group, exc_info=event.error)
        reason = plain(str(event.error)) or type(event.error).__name__
        if event.group == "updates":
            self.store.apply(LinkChanged(LinkState.OFFLINE, reason), self._clock())
            self.set_timer(RETRY_SECONDS, self._start_updates)
            self._changed()
        else:
            self.notify(reason, severity="error", timeout=12, markup=False)

    # ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _changed(self) -> None:
        """Paint soon; changes that arrive together are painted together."""
        if self._paint_timer is None:
            wait = self._painted_at + MIN_PAINT_SECONDS - time.monotonic()
            self._paint_timer = self.set_timer(max(_AT_ONCE, wait), self._paint_changes)

    def _paint_changes(self) -> None:
        self._paint_timer = None
        self.repaint()
        self._painted_at = time.monotonic()

    def _check_workspace(self) -> None:
        if self.store.link is LinkState.OFFLINE and not self.store.engine_is_running:
            start_worker(self, self._sender.check_workspace, group="workspace")

    def _tick(self) -> None:
        self._check_workspace()
        self.repaint()
        self.set_timer(1.0 - self._clock().microsecond / 1e6, self._tick)

    @property
    def base_screen(self) -> BaseScreen:
        """The top full screen, below any dialogs."""
        return next((s for s in reversed(self.screen_stack) if isinstance(s, BaseScreen)), self.tasks_screen)

    @property
    def is_ready(self) -> bool:
        """Whether there is a screen to paint; the last timer may fire while the app closes."""
        return self.is_running and self.base_screen.is_ready

    def repaint(self) -> None:
        """Repaint the top screen, and a dialog over it, from the store as of now."""
        if self.is_ready:
            self.base_screen.repaint()
            if isinstance(self.screen, Modal):
                self.screen.paint(self._clock())

    # ── keys and messages ────────────────────────────────────────────────────────────────────────────────────────────

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, Typed) and not event.is_forwarded:
            await self.key_queue.put(event)
        else:
            await super().on_event(event)

    async def _dispatch(self, event: Typed) -> None:
        """Handle one key, or text that was pasted.

        A key that is not typed into the focused widget is looked up here: by the time it had bubbled up in Textual,
        another screen might be on top.
        """
        if isinstance(event, events.Paste):
            await super().on_event(event)
            return
        focused = self.focused
        is_typed = focused is not None and focused.check_consume_key(event.key, event.character)
        if not is_typed and event.key in catalog.BY_ID["back"].keys and self._dismiss_notifications():
            return
        if is_typed:
            await super().on_event(event)
        else:
            has_binding = await self._check_bindings(event.key, priority=True) or await self._check_bindings(event.key)
            if not has_binding and is_foreign_letter(event.character or ""):
                self.notify("Keyboard shortcuts need a Latin keyboard layout; switch to one to use them.", markup=False)

    def _dismiss_notifications(self) -> bool:
        """Dismiss all messages; return whether any of them was a warning or an error.

        If so, the key does nothing else: a user who dismisses an error does not want to leave the screen as well.
        """
        has_errors = any(shown.severity != "information" for shown in self._notifications)
        self.clear_notifications()
        return has_errors

    def on_notify(self, event: Notify) -> None:
        """Replace the messages that a new one makes obsolete."""
        for shown in list(self._notifications):
            if replaces(event.notification, shown):
                self._unnotify(shown, refresh=False)

    def notify_error(self, error: KeijiError, hint: str = "") -> None:
        """Show an error and what can be done about it."""
        lines = [*error.message.splitlines(), *(hint or error.hint).splitlines()]
        text = "\n".join(plain(line) for line in lines if line.strip())
        self.notify(text, severity="error", timeout=12, markup=False)

    # ── directives ───────────────────────────────────────────────────────────────────────────────────────────────────

    def action_send(self, name: str) -> None:
        """Send the directive behind an action, after confirmation if it needs one."""
        action, screen = catalog.BY_ID[name], self.base_screen
        if name in BULK_ACTIONS and screen.marked_tasks:
            self._confirm_bulk(bulk.plan(action, screen.action_context, screen.marked_tasks))
            return
        directive = requests.directive_for(name, screen.action_context)
        if isinstance(directive, RunTask) and screen.selected_task is not None and screen.selected_task.parameters:
            self.push_screen(RunFormScreen(screen.selected_task, self._submit_form))
        elif directive is not None:
            self._confirm(action, directive, requests.target_name(directive, screen.action_context))

    def _confirm(self, action: Action, directive: Directive, name: str) -> None:
        def confirmed(is_yes: bool | None) -> None:
            if is_yes:
                self._send(directive, name)

        def reason_given(reason: str | None) -> None:
            if reason is not None:
                self._send(requests.with_reason(directive, reason), name)

        if isinstance(directive, PauseSystem):
            self.push_screen(ReasonScreen(), reason_given)
        elif action.needs_confirmation(self.base_screen.action_context):
            self.push_screen(ConfirmScreen(requests.confirmation(directive, name)), confirmed)
        else:
            self._send(directive, name)

    def _send(self, directive: Directive, name: str) -> None:
        self._sender.mark_sent(directive)
        start_worker(self, partial(self._carry_out, directive, name), group="directives")

    async def _carry_out(self, directive: Directive, name: str) -> None:
        try:
            done = await self._sender.send(directive)
        except BuildFailed as error:
            if isinstance(self.screen, BaseScreen):
                self._show_build_output(directive.target)
            else:  # the user is in a dialog
                hint = f"press {catalog.BY_ID['output'].key} for the full build output"
                self.notify_error(BuildFailed(f"{name}: {error.message}"), hint)
        except KeijiError as error:
            self.notify_error(error)
        else:
            self.notify(requests.success_message(directive, name, done), markup=False)

    def _confirm_bulk(self, plan: bulk.Plan) -> None:
        def confirmed(is_yes: bool | None) -> None:
            if is_yes:
                self._sender.mark_sent(*(directive for directive, _ in plan.steps))
                start_worker(self, partial(self._carry_out_all, plan), group="directives")

        self.push_screen(ConfirmScreen(bulk.confirmation(plan)), confirmed)

    async def _carry_out_all(self, plan: bulk.Plan) -> None:
        errors = await self._sender.send_all([directive for directive, _ in plan.steps])
        results = [
            bulk.Result(name, plain(error.message) if error else "")
            for (_, name), error in zip(plan.steps, errors, strict=True)
        ]
        text, has_failed = bulk.summary(plan, results)
        if has_failed:
            self.notify(text, severity="error", timeout=12, markup=False)
        else:
            self.notify(text, markup=False)

    def action_new_task(self) -> None:
        """Open the form for a new task."""

        def create(form: FormScreen[Draft], directive: Directive) -> None:
            start_worker(self, partial(self._create_task, form, directive), group="directives")

        def closed(draft: Draft | None) -> None:
            self._draft = draft or Draft()

        self.push_screen(NewTaskScreen(self.screen_context, self._draft, create), closed)

    async def _create_task(self, form: FormScreen[Draft], directive: Directive) -> None:
        name = directive.target
        if await self._send_form(form, directive, f"{name} was not created") is None:
            return
        slug = slug_of(name)
        self.tasks_screen.await_task(slug)
        self._draft = Draft()
        form.succeeded()
        self._send(BuildTask(task=slug, sender=SENDER), plain(name))

    async def _send_form(self, form: FormScreen[Any], directive: Directive, failure: str) -> Done | None:
        """Send the directive of a form; if it is refused, show why in the form, or ``failure`` if it was closed."""
        self._sender.mark_sent(directive)
        try:
            return await self._sender.send(directive)
        except KeijiError as error:
            if form in self.screen_stack:
                form.failed("\n".join(filter(None, (error.message, error.hint))))
            else:
                self.notify_error(KeijiError(f"{failure}: {error.message}", hint=error.hint))
            return None

    def _submit_form(self, form: FormScreen[None], directive: Directive) -> None:
        start_worker(self, partial(self._carry_out_form, form, directive), group="directives")

    async def _carry_out_form(self, form: FormScreen[None], directive: Directive) -> None:
        task = self.store.find_task(directive.target)
        name = plain(task.name if task else directive.target)
        done = await self._send_form(form, directive, name)
        if done is not None:
            form.succeeded()
            self.notify(requests.success_message(directive, name, done), markup=False)

    async def action_start_engine(self) -> None:
        """Start the engine, or its stopped services if it is running but not responding."""
        start_worker(self, self._start_engine, group="directives")

    async def _start_engine(self) -> None:
        what = "the services of the engine" if self.store.engine_is_running else "the engine"
        self.notify(f"starting {what} …\n$ keiji system start", timeout=3, markup=False)
        try:
            await self._sender.start_engine()
        except KeijiError as error:
            self.notify_error(error)

    def action_create_workspace(self) -> None:
        """Create the workspace, and start an engine on it."""
        start_worker(self, self._create_workspace, group="directives")

    async def _create_workspace(self) -> None:
        self.notify("creating the workspace …\n$ keiji init", timeout=3, markup=False)
        try:
            await self._sender.create_workspace()
        except KeijiError as error:
            self.notify_error(error)
        else:
            await self._start_engine()

    # ── navigation ───────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _selected_task(self) -> TaskView | None:
        return self.base_screen.selected_task

    def _close_to_tasks(self) -> None:
        while self.base_screen is not self.tasks_screen:
            self.pop_screen()

    def _open_from_tasks(self, kind: type[BaseScreen]) -> None:
        """Show a screen directly over the list of tasks, unless it is on top."""
        if type(self.base_screen) is not kind:
            self._close_to_tasks()
            self.push_screen(kind(self.screen_context))

    def _open_about_task(self, kind: type[DetailScreen] | type[DifferenceScreen] | type[RunsScreen]) -> None:
        """Show a screen about the selected task; reopening a kind of screen closes the older one."""
        task = self._selected_task
        if task is None or type(self.base_screen) is kind:
            return
        below = next((screen for screen in self.screen_stack if type(screen) is kind), None)
        while below is not None and below in self.screen_stack:
            self.pop_screen()
        self.push_screen(kind(self.screen_context, slug=task.slug))

    def action_show_tasks(self) -> None:
        """Show the list of tasks."""
        self._close_to_tasks()
        self.tasks_screen.go_back()
        self.repaint()

    async def action_filter_tasks(self) -> None:
        """Show the list of tasks, and open its filter."""
        self._close_to_tasks()
        await self.tasks_screen.action_filter()

    def action_select_changed(self) -> None:
        """Select the task whose sources have changed."""
        task = self.store.rebuild_offer(None)
        if task is not None:
            self._close_to_tasks()
            self.tasks_screen.reveal(task.slug)

    def action_show_services(self) -> None:
        """Show the services of the engine."""
        self._open_from_tasks(ServicesScreen)

    def action_show_ledger(self) -> None:
        """Show the ledger."""
        self._open_from_tasks(LedgerScreen)

    def action_show_upcoming(self) -> None:
        """Show what is due within 24 hours."""
        self._open_from_tasks(UpcomingScreen)

    def action_show_backfills(self) -> None:
        """Show the backfills of all tasks."""
        self._open_from_tasks(BackfillsScreen)

    def action_open_backfill_form(self) -> None:
        """Open the form that starts a backfill of the selected task."""
        if self._selected_task is not None:
            self.push_screen(BackfillFormScreen(self.screen_context, self._selected_task, self._submit_form))

    def action_show_detail(self) -> None:
        """Show the details of the selected task."""
        self._open_about_task(DetailScreen)

    def action_show_difference(self) -> None:
        """Show how the sources of the selected task differ from its build."""
        self._open_about_task(DifferenceScreen)

    def action_show_history(self) -> None:
        """Show the runs of the selected task."""
        self._open_about_task(RunsScreen)

    def action_explain(self) -> None:
        """Explain why the selected task does not run."""
        if self._selected_task is not None:
            self.push_screen(WhyScreen(self.screen_context, self._selected_task.slug))

    def action_show_build_output(self) -> None:
        """Show the output of the last build of the selected task."""
        if self._selected_task is not None:
            self._show_build_output(self._selected_task.slug)

    def _show_build_output(self, slug: str) -> None:
        self.push_screen(BuildOutputScreen(self.screen_context, slug))

    def action_show_log(self) -> None:
        """Show the log of the selected task, or the merged logs of the marked ones."""
        marked = {task.slug: task.name for task in self.base_screen.marked_tasks}
        if len(marked) > 1:
            self.push_screen(MergedLogScreen(self.screen_context, tasks=marked))
        elif type(self.base_screen) is not MergedLogScreen:
            self._close_to_tasks()
            self.tasks_screen.open_log()

    def action_edit(self) -> None:
        """Edit the function of the selected task, or the command of a command task."""
        task = self._selected_task
        if task is None:
            return
        try:
            self._edit(self, Path(task.source_path) / ("function.py" if task.kind in {"", "python"} else "task.toml"))
        except KeijiError as error:
            self.notify_error(error)

    def action_choose_theme(self) -> None:
        """Show the themes."""
        self._open_palette(Palette(providers=[ThemeProvider], placeholder="theme name …"))

    def action_command_palette(self) -> None:
        """Show all actions."""
        self._open_palette(Palette())

    def _open_palette(self, palette: Palette) -> None:
        if not isinstance(self.screen, Palette):
            self.push_screen(palette)

    def action_show_help(self) -> None:
        """Show the keys that work on this screen."""
        screen = self.base_screen
        scopes = dict.fromkeys((*screen.scopes, *screen.SCOPES, Scope.EVERYWHERE))
        self.push_screen(HelpScreen(tuple(scopes), screen.action_context))

    def action_help_quit(self) -> None:
        """Show the key that quits, for users who press ctrl+c."""
        self.notify(f"{catalog.BY_ID['quit'].key} quits; the engine and its tasks keep running", markup=False)

    async def on_unmount(self) -> None:
        await self._link.close()
