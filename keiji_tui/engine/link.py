"""What the terminal needs from an engine, as protocols, so that tests can script one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from keiji.errors import KeijiError
from keiji.reasons import Reason
from keiji.records import Run
from keiji_engine.bus.protocol import (
    ActiveBuild,
    BackfillPlan,
    Difference,
    Directive,
    Done,
    LogChunk,
    LogSlice,
    Timeline,
    Upcoming,
)
from keiji_engine.bus.views import BackfillView, DirectiveView
from keiji_tui.state.store import Update

LogPart = LogSlice | LogChunk


class LogLink(Protocol):
    """Access to logs by name; the name of a task's log is its slug."""

    def follow(self, log: str, /) -> AsyncIterator[LogPart]:
        """Yield the last lines of a log, then what is appended to it. Raises KeijiError."""
        ...

    async def read(self, log: str, position: int | None, limit: int, /) -> LogSlice:
        """Return at most ``limit`` bytes of a log, from a position, or its end if that is None. Raises KeijiError."""
        ...

    def log_path(self, log: str, /) -> Path:
        """Return the path of the newest part of a log on this machine."""
        ...

    async def runs(self, log: str, limit: int, /) -> tuple[Run, ...]:
        """Return the runs that wrote a log, newest first. Raises KeijiError."""
        ...


class Link(LogLink, Protocol):
    """The connection to an engine. It lasts as long as the terminal, whatever happens to the engine."""

    @property
    def service_logs(self) -> LogLink:
        """The logs of the services, which can be read while no engine runs."""
        ...

    def updates(self) -> AsyncIterator[Update]:
        """Yield updates forever: `LinkChanged` on changes, a `Snapshot` on each (re)connection, then gapless deltas."""
        ...

    async def send(self, directive: Directive) -> Done:
        """Send a directive and wait for its outcome. Raises KeijiError if it is refused or fails."""
        ...

    async def explain(self, task: str) -> tuple[Reason, ...]:
        """Return why a task does not run now, the most important reason first. Raises KeijiError."""
        ...

    async def upcoming(self, task: str, count: int) -> Upcoming:
        """Return the next due instants of a task. Raises KeijiError."""
        ...

    async def timeline(self) -> Timeline:
        """Return the due instants of all tasks within the next 24 hours. Raises KeijiError."""
        ...

    async def backfills(self, limit: int) -> tuple[BackfillView, ...]:
        """Return the backfills of all tasks, newest first. Raises KeijiError."""
        ...

    async def plan_backfill(self, task: str, begin: str, end: str) -> BackfillPlan:
        """Return what a backfill of a range would run. Raises KeijiError, also if it would run nothing."""
        ...

    async def active_build(self, task: str) -> ActiveBuild:
        """Return the active build of a task. Raises KeijiError, also if there is none."""
        ...

    async def difference(self, task: str) -> Difference:
        """Return the differences between the active build of a task and its sources. Raises KeijiError."""
        ...

    async def directives(self, limit: int) -> tuple[DirectiveView, ...]:
        """Return the ledger, newest first. Raises KeijiError."""
        ...

    async def check_workspace(self) -> KeijiError | None:
        """Return why no engine could use the workspace; None if one could."""
        ...

    async def create_workspace(self) -> None:
        """Create the workspace, as ``keiji init`` does. Raises KeijiError, and then leaves nothing behind."""
        ...

    async def start_engine(self) -> None:
        """Start an engine in the background and return when it is ready. Raises KeijiError with its last output.

        If one is running, start its stopped services.
        """
        ...

    async def close(self) -> None:
        """Close the sockets."""
        ...
