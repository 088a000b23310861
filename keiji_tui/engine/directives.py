"""Sends directives to the engine, and records in the store what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from keiji.errors import KeijiError
from keiji_engine.bus.protocol import Directive, Done
from keiji_tui.engine.link import Link
from keiji_tui.state.store import Store

_MAX_IN_FLIGHT = 8  # of the directives of one bulk action


class DirectiveSender:
    """Sends one directive or several, and starts the engine.

    Args:
        changed: called after each change of the store.
        clock: returns the current time.
    """

    def __init__(self, link: Link, store: Store, changed: Callable[[], None], *, clock: Callable[[], datetime]) -> None:
        self._link = link
        self._store = store
        self._changed = changed
        self._clock = clock

    def mark_sent(self, *directives: Directive) -> None:
        """Record directives as sent, before any other action can be taken."""
        for directive in directives:
            self._store.ledger.add_sent(directive, self._clock())
        self._changed()

    async def send(self, directive: Directive) -> Done:
        """Send a directive that `mark_sent` has recorded, and record its outcome. Raises KeijiError."""
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
            self._changed()

    async def send_all(self, directives: Sequence[Directive]) -> list[KeijiError | None]:
        """Send directives recorded by `mark_sent`, a few at a time; return the error of each, None for success."""
        slots = asyncio.Semaphore(_MAX_IN_FLIGHT)

        async def send(directive: Directive) -> KeijiError | None:
            async with slots:
                try:
                    await self.send(directive)
                except KeijiError as error:
                    return error
            return None

        return list(await asyncio.gather(*map(send, directives)))

    async def start_engine(self) -> None:
        """Start an engine, or the stopped services of one that runs. Raises KeijiError."""
        await self._record_start(self._link.start_engine)

    async def create_workspace(self) -> None:
        """Create the workspace. Raises KeijiError."""
        await self._record_start(self._link.create_workspace)

    async def _record_start(self, start: Callable[[], Awaitable[None]]) -> None:
        try:
            await start()
        except KeijiError as error:
            self._store.start_error = error
            raise
        else:
            self._store.start_error = None
        finally:
            await self.check_workspace()

    async def check_workspace(self) -> None:
        """Find out why no engine could be started, so that the screen says so before anyone tries."""
        trouble = await self._link.check_workspace()
        if str(trouble) != str(self._store.workspace_error):
            self._store.workspace_error = trouble
            self._changed()
