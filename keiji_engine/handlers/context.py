"""What every handler works with, whether an engine runs or not."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from keiji.errors import EngineOffline, ServiceOffline, TaskBroken
from keiji.paths import Paths
from keiji.reasons import Reason, render
from keiji.records import Task
from keiji.settings import Settings
from keiji_engine.bus.views import EngineView, ServiceView
from keiji_engine.state import EngineState

if TYPE_CHECKING:  # a command without an engine runs nothing
    from keiji_engine.run_service import RunService


class EngineControl(Protocol):
    """What a handler may ask of the running engine."""

    runs: RunService

    def engine_view(self) -> EngineView: ...

    def service_views(self) -> tuple[ServiceView, ...]: ...

    def position(self) -> tuple[str, int]:
        """Return the boot id and the number of the newest event."""

    def recheck_sources(self, slug: str) -> None:
        """Compare the sources of a task with its build."""

    async def start_service(self, name: str) -> None: ...

    async def stop_service(self, name: str) -> None: ...

    async def restart_service(self, name: str) -> None: ...

    def shut_down(self) -> None:
        """Begin to shut down, and return at once."""


@dataclass(frozen=True)
class Context:
    """The state, the settings and, if one runs, the engine (otherwise ``control`` is None).

    Args:
        flush_logs: writes what was logged so far, for at most the given seconds; None if it is written at once.
    """

    paths: Paths
    settings: Callable[[], Settings]
    state: EngineState
    clock: Callable[[], datetime]
    control: EngineControl | None = None
    flush_logs: Callable[[float], object] | None = None
    _task_locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _build_locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def lock(self, slug: str) -> asyncio.Lock:
        """Return the lock of a task: directives on it are carried out one at a time. "" is the whole system."""
        return self._task_locks[slug]

    def build_lock(self, slug: str) -> asyncio.Lock:
        """Return the lock of builds of a task. It is another one than `lock`: a long build must not delay a stop."""
        return self._build_locks[slug]

    @contextlib.asynccontextmanager
    async def locked_task(self, name: str) -> AsyncIterator[Task]:
        """Give the task with this name or slug while its lock is held. Raises TaskNotFound."""
        slug = self.state.find(name).slug
        async with self.lock(slug):
            yield self.state.find(slug)

    def zone(self, task: Task) -> ZoneInfo:
        """Return the time zone of a task: its own, or that of the workspace."""
        return ZoneInfo(task.policy.tz) if task.policy.tz else self.settings().zone

    def check_readable(self, task: Task) -> None:
        """Check that everything about a task could be read from the database. Raises TaskBroken."""
        if task.broken is not None:
            raise TaskBroken.named(task.name, task.slug, render(task.broken))

    def require_engine(self) -> EngineControl:
        """Return the running engine. Raises EngineOffline if there is none."""
        if self.control is None:
            raise EngineOffline.required()
        return self.control

    def require_runs(self) -> RunService:
        """Return the run service. Raises EngineOffline or ServiceOffline unless it can start and stop runs."""
        runs = self.require_engine().runs
        if not runs.is_online:
            raise ServiceOffline.required("runner")
        return runs

    def check_stoppable(self, task: Task) -> None:
        """Check that a task has no live run, or that it can be stopped.

        Raises:
            EngineOffline: a run of an earlier engine may be live.
            ServiceOffline: there is a live run, and the runner is stopped.
        """
        if self.state.live_run(task.slug) is None:
            return
        if self.control is None:
            raise EngineOffline.required_to_stop(task.name, task.slug)
        self.require_runs()

    async def stop_runs(self, task: Task, why: Reason) -> bool:
        """Stop the live and queued runs of a task; return whether there were any. Raises as `check_stoppable`."""
        from keiji_engine.run_service import cancel_queued

        cancelled = await cancel_queued(self.state, task.slug, why, self.clock())
        self.check_stoppable(task)
        if self.control is None:
            return cancelled
        return await self.control.runs.stop(task, why) or cancelled
