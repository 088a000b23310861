"""Send directives to the engine, record them in the ledger, and show their outcomes as messages."""

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
from keiji_tui.screens.runs import RunsScreen
from keiji_tui.screens.why import INSTANTS, WhyScreen
from keiji_tui.state.draft import Draft
from keiji_tui.state.store import Store
from keiji_tui.text.sanitise import plain

_MAX_CONCURRENT = 8  # directives of one bulk action


class Notify(Protocol):
    """Shows a message for a while."""

    def __call__(
        self, message: str, *, severity: SeverityLevel = ..., timeout: float | None = ..., markup: bool = ...
    ) -> None: ...


class DirectiveSender:
    """Sends directives to the engine.

    Args:
        on_change: called after each change of the store.
        clock: returns the current time.
        show_failed_build: shows the output of a task's failed build; returns False if that would cover a dialog.
    """

    def __init__(
        self,
        link: Link,
        store: Store,
        notify: Notify,
        on_change: Callable[[], None],
        *,
        clock: Callable[[], datetime],
        show_failed_build: Callable[[str], bool],
    ) -> None:
        self._link = link
        self._store = store
        self._notify = notify
        self._on_change = on_change
        self._clock = clock
        self._show_failed_build = show_failed_build

    def report_error(self, message: str, hint: str = "") -> None:
        """Show an error message."""
        lines = [plain(line) for line in (*message.splitlines(), *hint.splitlines()) if line.strip()]
        self._notify("\n".join(lines), severity="error", timeout=12, markup=False)

    def mark_sent(self, *directives: Directive) -> None:
        """Record directives as sent, before further keys are handled."""
        for directive in directives:
            self._store.ledger.add_sent(directive, self._clock())
        self._on_change()

    async def send(self, directive: Directive, name: str) -> None:
        """Send a directive recorded by `mark_sent`, and show its outcome; ``name`` is that of its target."""
        try:
            done = await self._execute(directive)
        except BuildFailed as error:
            if not self._show_failed_build(directive.target):
                self.report_error(f"{name}: {error.message}", f"{BY_ID['output'].key} shows the output of the build")
        except KeijiError as error:
            self.report_error(error.message, error.hint)
        else:
            self._notify(requests.told(directive, name, done), markup=False)

    async def _execute(self, directive: Directive) -> Done:
        """Send a directive, and record its outcome in the ledger. Raises KeijiError."""
        try:
            done = await self._link.send(directive)
        except Exception as error:
            reported = error if isinstance(error, KeijiError) else KeijiError(str(error) or type(error).__name__)
            self._store.ledger.mark_failed(directive, reported, self._clock())
            raise
        else:
            self._store.ledger.mark_done(directive, done.lines, self._clock())
            return done
        finally:
            self._on_change()

    async def send_all(self, plan: Plan) -> None:
        """Send the directives of a bulk action, a few at a time, and show one message for all outcomes."""
        slots = asyncio.Semaphore(_MAX_CONCURRENT)

        async def execute(directive: Directive, name: str) -> Result:
            async with slots:
                try:
                    await self._execute(directive)
                except KeijiError as error:
                    return Result(name, plain(error.message))
            return Result(name)

        results = await asyncio.gather(*(execute(directive, name) for directive, name in plan.steps))
        message, has_failed = told(plan, results)
        severity: SeverityLevel = "error" if has_failed else "information"
        self._notify(message, severity=severity, timeout=12 if has_failed else None, markup=False)

    async def create_task(
        self, draft: Draft, *, on_created: Callable[[str], None], on_error: Callable[[str], None]
    ) -> None:
        """Create a task and build it.

        Args:
            on_created: receives the slug of the new task, before it is built.
            on_error: receives the explanation if the task cannot be created.
        """
        directive = draft.directive()
        self.mark_sent(directive)
        try:
            await self._execute(directive)
        except KeijiError as error:
            on_error("\n".join(filter(None, (error.message, error.hint))))
            return
        slug = slug_of(directive.name)
        on_created(slug)
        build = BuildTask(task=slug, sender=requests.SENDER)
        self.mark_sent(build)
        await self.send(build, plain(directive.name))

    async def start_engine(self) -> None:
        """Start the engine, or the stopped services of a running one."""
        verb = "waking" if self._store.engine_is_running else "starting"
        self._notify(f"{verb} the engine …\n$ keiji system start", timeout=3, markup=False)
        try:
            await self._link.start_engine()
        except KeijiError as error:
            self._store.start_error = error
            self.report_error(error.message, error.hint)
            await self.check_workspace()
        else:
            self._store.start_error = None

    async def create_workspace(self) -> None:
        """Create the workspace, and start the engine."""
        self._notify("creating the workspace …\n$ keiji init", timeout=3, markup=False)
        try:
            await self._link.create_workspace()
        except KeijiError as error:
            self._store.start_error = error
            self.report_error(error.message, error.hint)
        else:
            await self.check_workspace()
            await self.start_engine()

    async def check_workspace(self) -> None:
        """Check whether an engine could be started, so that the reason is shown before anyone tries."""
        store = self._store
        error = await self._link.check_workspace()
        if str(error) != str(store.workspace_error):
            store.workspace_error = error
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
