"""What the terminal needs of an engine, so that it can be shown on a scripted one too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from keiji.errors import KeijiError
from keiji.reasons import Reason
from keiji.records import Run
from keiji_engine.bus.protocol import (
    ActiveBuild,
    Difference,
    Directive,
    Done,
    LogChunk,
    LogSlice,
    Timeline,
    Upcoming,
)
from keiji_engine.bus.views import DirectiveView
from keiji_tui.state.store import Update

LogPart = LogSlice | LogChunk


class LogLink(Protocol):
    """Where logs are read, each by its name: that of a task is the task's slug."""

    def follow(self, log: str, /) -> AsyncIterator[LogPart]:
        """Tell the last lines of a log, then what is added. Raises KeijiError where it cannot be had."""
        ...

    async def read(self, log: str, position: int | None, limit: int, /) -> LogSlice:
        """Return ``limit`` bytes at most of a log, from a position on; None for its end. Raises KeijiError."""
        ...

    def log_path(self, log: str, /) -> Path:
        """Return where the newest part of a log is on this machine."""
        ...

    async def runs(self, log: str, limit: int, /) -> tuple[Run, ...]:
        """Return the runs that printed a log, newest first. Raises KeijiError."""
        ...


class Link(LogLink, Protocol):
    """The way to one engine. It lives as long as the terminal and outlives any number of engines."""

    @property
    def service_logs(self) -> LogLink:
        """What the engine writes about itself, by service; it can be read while no engine lives."""
        ...

    def updates(self) -> AsyncIterator[Update]:
        """Tell for ever what happens: `LinkChanged` as it does, a `Snapshot` on each (re)join, then gapless deltas."""
        ...

    async def send(self, directive: Directive) -> Done:
        """Have a directive carried out and wait for its end. Raises KeijiError where it was refused or failed."""
        ...

    async def explain(self, task: str) -> tuple[Reason, ...]:
        """Return why a task does not run now, what holds it up first. Raises KeijiError."""
        ...

    async def upcoming(self, task: str, count: int) -> Upcoming:
        """Return the next instants at which a task is due. Raises KeijiError."""
        ...

    async def timeline(self) -> Timeline:
        """Return when all tasks are due within the coming day. Raises KeijiError."""
        ...

    async def active_build(self, task: str) -> ActiveBuild:
        """Return the build that runs of a task begin with. Raises KeijiError, also where there is none."""
        ...

    async def difference(self, task: str) -> Difference:
        """Return how the sources of a task differ from its build. Raises KeijiError."""
        ...

    async def directives(self, limit: int) -> tuple[DirectiveView, ...]:
        """Return the ledger, newest first. Raises KeijiError."""
        ...

    async def check_workspace(self) -> KeijiError | None:
        """Return why no engine could work on the workspace, None where one could."""
        ...

    async def create_workspace(self) -> None:
        """Make the workspace, as ``keiji init`` does. Raises KeijiError; nothing is made then."""
        ...

    async def start_engine(self) -> None:
        """Start an engine in the background and return when it is ready. Raises KeijiError with what it last said.

        One that lives already is asked to start those of its services that are stopped.
        """
        ...

    async def close(self) -> None:
        """Let go of sockets."""
        ...
