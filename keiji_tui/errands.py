"""What the engine is asked on somebody's behalf, and what they are told of its answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from textual.notifications import SeverityLevel

from keiji.errors import KeijiError
from keiji_engine.bus.protocol import Directive
from keiji_tui import commands
from keiji_tui.link.link import Link
from keiji_tui.logs.sanitise import plain
from keiji_tui.screens.runs import MOST, RunsScreen
from keiji_tui.screens.why import INSTANTS, WhyScreen
from keiji_tui.store import Store


class Notify(Protocol):
    """What shows a message for a while."""

    def __call__(
        self, message: str, *, severity: SeverityLevel = ..., timeout: float | None = ..., markup: bool = ...
    ) -> None: ...


class Errands:
    """One at a time or several beside each other; each ends with what the engine says, or with why it does not.

    Args:
        changed: to be called where something is to be painted.
    """

    def __init__(self, link: Link, store: Store, notify: Notify, changed: Callable[[], None]) -> None:
        self._link = link
        self._store = store
        self._notify = notify
        self._changed = changed

    def complain(self, message: str, hint: str = "") -> None:
        """Tell of a failure."""
        lines = [plain(line) for line in (*message.splitlines(), *hint.splitlines()) if line.strip()]
        self._notify("\n".join(lines), severity="error", timeout=12, markup=False)

    async def send(self, directive: Directive, name: str) -> None:
        """Have a directive about ``name`` carried out."""
        self._store.sent(directive)
        self._changed()
        try:
            done = await self._link.send(directive)
        except KeijiError as error:
            self.complain(error.message, error.hint)
        else:
            self._notify(commands.told(directive, name, done), markup=False)
        finally:
            self._store.settled(directive)
            self._changed()

    async def start_engine(self) -> None:
        """Start an engine, or what is stopped of one."""
        what = "waking" if self._store.engine_lives else "starting"
        self._notify(f"{what} the engine …\n$ keiji system start", timeout=3, markup=False)
        try:
            await self._link.start_engine()
        except KeijiError as error:
            self.complain(error.message, error.hint)

    async def load_runs(self, screen: RunsScreen) -> None:
        """Get the runs that a screen shows."""
        try:
            screen.put(await self._link.runs(screen.slug, MOST))
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
