"""What the engine is asked on somebody's behalf, and what they are told of its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from textual.notifications import SeverityLevel

from keiji.errors import BuildFailed, KeijiError
from keiji.names import slug_of
from keiji_engine.bus.protocol import BuildTask, Directive, Done
from keiji_tui.actions import requests
from keiji_tui.actions.bulk import Plan, Result, told
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.engine.link import Link
from keiji_tui.screens.new_task import NewTaskScreen
from keiji_tui.screens.runs import RunsScreen
from keiji_tui.screens.why import INSTANTS, WhyScreen
from keiji_tui.state.draft import Draft
from keiji_tui.state.store import Store
from keiji_tui.text.sanitise import plain

_AT_ONCE = 8  # directives of several tasks that are under way beside each other


class Notify(Protocol):
    """What shows a message for a while."""

    def __call__(
        self, message: str, *, severity: SeverityLevel = ..., timeout: float | None = ..., markup: bool = ...
    ) -> None: ...


class DirectiveSender:
    """One at a time or several beside each other; each ends with what the engine says, or with why it does not.

    Args:
        changed: to be called where something is to be painted.
        clock: returns what time it is.
        show_failed_build: shows what a build of a task said; returns False where that would be in somebody's way.
    """

    def __init__(
        self,
        link: Link,
        store: Store,
        notify: Notify,
        changed: Callable[[], None],
        *,
        clock: Callable[[], datetime],
        show_failed_build: Callable[[str], bool],
    ) -> None:
        self._link = link
        self._store = store
        self._notify = notify
        self._on_change = changed
        self._clock = clock
        self._show_failed_build = show_failed_build

    def report_error(self, message: str, hint: str = "") -> None:
        """Tell of a failure."""
        lines = [plain(line) for line in (*message.splitlines(), *hint.splitlines()) if line.strip()]
        self._notify("\n".join(lines), severity="error", timeout=12, markup=False)

    def mark_sent(self, *directives: Directive) -> None:
        """Note that directives are on their way, before anything else can be asked for."""
        for directive in directives:
            self._store.sent(directive)
            self._store.ledger.add_sent(directive, self._clock())
        self._on_change()

    async def send(self, directive: Directive, name: str) -> None:
        """Have a directive about ``name`` carried out, of which `begin` was told."""
        try:
            done = await self._execute(directive)
        except BuildFailed as error:
            if not self._show_failed_build(directive.target):
                self.report_error(f"{name}: {error.message}", f"{BY_ID['output'].key} shows all that the build said")
        except KeijiError as error:
            self.report_error(error.message, error.hint)
        else:
            self._notify(requests.told(directive, name, done), markup=False)

    async def _execute(self, directive: Directive) -> Done:
        """Send a directive, and note in the store what becomes of it. Raises KeijiError."""
        try:
            done = await self._link.send(directive)
        except KeijiError as error:
            self._store.ledger.mark_failed(directive, error, self._clock())
            raise
        else:
            self._store.ledger.mark_done(directive, done.lines, self._clock())
            return done
        finally:
            self._store.settled(directive)
            self._on_change()

    async def send_all(self, plan: Plan) -> None:
        """Have one directive for each of several tasks carried out, a few at a time, and tell what came of it."""
        turn = asyncio.Semaphore(_AT_ONCE)

        async def step(directive: Directive, name: str) -> Result:
            async with turn:
                try:
                    await self._execute(directive)
                except KeijiError as error:
                    return Result(name, plain(error.message))
            return Result(name)

        results = await asyncio.gather(*(step(directive, name) for directive, name in plan.steps))
        words, has_failed = told(plan, results)
        severity: SeverityLevel = "error" if has_failed else "information"
        self._notify(words, severity=severity, timeout=12 if has_failed else None, markup=False)

    async def create_task(self, screen: NewTaskScreen, draft: Draft, is_made: Callable[[str], None]) -> None:
        """Have a task made and built; what was typed stays on the screen where it cannot be made."""
        directive = draft.directive()
        self.mark_sent(directive)
        try:
            await self._execute(directive)
        except KeijiError as error:
            screen.failed("\n".join(filter(None, (error.message, error.hint))))
            return
        slug = slug_of(directive.name)
        is_made(slug)
        screen.made()
        build = BuildTask(task=slug, sender=requests.SENDER)
        self.mark_sent(build)
        await self.send(build, plain(directive.name))

    async def start_engine(self) -> None:
        """Start an engine, or what is stopped of one."""
        what = "waking" if self._store.engine_is_running else "starting"
        self._notify(f"{what} the engine …\n$ keiji system start", timeout=3, markup=False)
        try:
            await self._link.start_engine()
        except KeijiError as error:
            self._store.start_error = error
            self.report_error(error.message, error.hint)
            await self.check_workspace()
        else:
            self._store.start_error = None

    async def create_workspace(self) -> None:
        """Make the workspace and start an engine on it."""
        self._notify("making the workspace …\n$ keiji init", timeout=3, markup=False)
        try:
            await self._link.create_workspace()
        except KeijiError as error:
            self._store.start_error = error
            self.report_error(error.message, error.hint)
        else:
            await self.check_workspace()
            await self.start_engine()

    async def check_workspace(self) -> None:
        """Learn why no engine could be started, so that this is said before somebody tries."""
        store = self._store
        found = await self._link.check_workspace()
        if str(found) != str(store.workspace_error):
            store.workspace_error = found
            self._on_change()

    async def load_runs(self, screen: RunsScreen) -> None:
        """Get the runs that a screen shows."""
        try:
            screen.put(await self._link.runs(screen.slug, screen.asked))
        except KeijiError as error:
            screen.failed(error.message)

    async def explain(self, screen: WhyScreen) -> None:
        """Get why the task of a screen does not run now, and when it is due next."""
        try:
            screen.put_reasons(await self._link.explain(screen.slug))
        except KeijiError as error:
            screen.guessing(error.message)
        try:
            screen.put_upcoming(await self._link.upcoming(screen.slug, INSTANTS))
        except KeijiError as error:
            screen.no_upcoming(error.message)
