"""What every handler has at hand, with or without a running engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from keiji.errors import EngineOffline, ServiceOffline
from keiji.paths import Paths
from keiji.policy import Policy
from keiji.records import Pause, Task
from keiji.schedule import Schedule
from keiji.settings import Settings
from keiji.states import RunState
from keiji_engine.bus.views import EngineView, ServiceView
from keiji_engine.logs.service_log import Journal
from keiji_engine.scheduler.backlog import unstarted
from keiji_engine.state import EngineState
from keiji_engine.storage.async_store import AsyncStore
from keiji_engine.storage.store import Store

if TYPE_CHECKING:  # a command without an engine runs nothing
    from keiji_engine.run_service import RunService


class Control(Protocol):
    """What a handler may ask of the engine itself."""

    runs: RunService

    def engine_view(self) -> EngineView: ...

    def service_views(self) -> tuple[ServiceView, ...]: ...

    def position(self) -> tuple[str, int]:
        """Return the boot and the number of the newest event."""

    def nudge(self) -> None:
        """Have the scheduler look again."""

    def engine_changed(self) -> None:
        """Tell everybody how the engine is now."""

    def recheck_sources(self, slug: str) -> None:
        """Have the watcher compare the sources of a task with its build."""

    async def start_service(self, name: str) -> None: ...

    async def stop_service(self, name: str) -> None: ...

    async def restart_service(self, name: str) -> None: ...

    def shut_down(self) -> None:
        """Begin the engine's end, and return at once."""


@dataclass(frozen=True)
class Context:
    """The parts that a handler works with; ``control`` is None where no engine runs."""

    paths: Paths
    settings: Callable[[], Settings]
    ledger: AsyncStore
    board: EngineState
    journal: Journal
    clock: Callable[[], datetime]
    control: Control | None = None
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _builders: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def alone(self, slug: str) -> asyncio.Lock:
        """Return the lock under which a directive works on a task: one at a time, each sees what the last one did."""
        return self._locks[slug]

    def building(self, slug: str) -> asyncio.Lock:
        """Return the lock under which a task is built. Not that of `alone`: a long build must not delay a stop."""
        return self._builders[slug]

    @contextlib.asynccontextmanager
    async def holding(self, wanted: str) -> AsyncIterator[Task]:
        """Give the task of that name or slug, as it is once no other directive works on it. Raises TaskNotFound."""
        slug = self.board.find(wanted).slug
        async with self.alone(slug):
            yield self.board.find(slug)

    def engine(self) -> Control:
        """Return the running engine. Raises EngineOffline where none runs."""
        if self.control is None:
            raise EngineOffline("the engine is not running, and this needs it", hint="keiji system start starts it")
        return self.control

    def runs(self) -> RunService:
        """Return what starts and stops runs. Raises EngineOffline or ServiceOffline where nothing can."""
        runs = self.engine().runs
        if not runs.is_online:
            raise ServiceOffline(
                "the runner is stopped, and this needs it", hint="keiji system start --runner starts it"
            )
        return runs

    def nudge(self) -> None:
        """Have the scheduler look again, where one runs."""
        if self.control is not None:
            self.control.nudge()

    def check_stoppable(self, task: Task) -> None:
        """Make sure that nothing runs of a task, or that it can be stopped.

        Raises:
            EngineOffline: a run may still be going on from before the engine ended.
            ServiceOffline: one is going on, and the runner is stopped.
        """
        if self.board.live_run(task.slug) is None:
            return
        if self.control is None:
            raise EngineOffline(
                f"{task.name} may still be running, from before the engine ended; only an engine can stop it",
                hint="keiji system start, then again",
            )
        self.runs()

    async def stop_runs(self, task: Task, reason: str) -> bool:
        """Stop what runs or waits of a task, and return whether there was anything. Raises as `check_stoppable`."""
        cancelled = await self._cancel(task, reason)
        self.check_stoppable(task)
        if self.control is None:
            return cancelled
        stopped = await self.control.runs.stop(task, reason)
        # A run that failed just as it was to be stopped has been queued again.
        return await self._cancel(task, reason) or cancelled or stopped

    async def _cancel(self, task: Task, reason: str) -> bool:
        cancelled = await self.ledger.do(Store.cancel_queued, task.slug, reason, self.clock())
        self.board.put_runs(cancelled)
        return bool(cancelled)

    async def settle_overdue(self, task: Task, state: RunState, reason: str, now: datetime) -> Task:
        """Account for what is due of a task at ``now`` and will not run any more; return the task as it is then.

        Who places its schedule anew then does so at the same ``now``: nothing is due in between.
        """
        while claims := unstarted(task, now, state, reason):
            runs = await self.ledger.do(Store.claim, claims, now)
            task = await self.ledger.do(Store.task, task.slug)
            self.board.put_runs(runs, [task])
        return task

    def put_pause(self, pause: Pause | None) -> None:
        """Show that everything is paused, or is no more."""
        self.board.pause = pause
        if self.control is not None:
            self.control.engine_changed()

    def anchor(self, schedule: Schedule, policy: Policy, now: datetime) -> tuple[Schedule, datetime | None]:
        """Return a schedule counted from ``now``, placed as its policy and the workspace say, and its next instant."""
        placed = schedule.with_context(policy.schedule_context(anchor=now, zone=self.settings().time_zone))
        return placed, placed.next_after(now)

    def moved(self, task: Task, policy: Policy) -> tuple[Schedule, datetime | None]:
        """Return a task's schedule, counting as it did, placed as a policy and the workspace say, and its next instant.

        What is due already was so by the old place, and stays.
        """
        assert task.schedule is not None
        anchor, now = task.schedule.context.anchor, self.clock()
        schedule = task.schedule.with_context(policy.schedule_context(anchor=anchor, zone=self.settings().time_zone))
        is_due = task.next_at is not None and task.next_at <= now
        return schedule, task.next_at if is_due or schedule == task.schedule else schedule.next_after(now)

    def tell_schedule(self, task: Task) -> None:
        """Write into the task's log when it runs from now on."""
        schedule = task.schedule
        if schedule is None or task.next_at is None:
            return
        if schedule.type == "HMS":
            interval = schedule.compact_form().rpartition(":")[2]
            self.journal.task(task.slug, f"task {task.name} interval: {interval} ({schedule.describe()})")
        else:
            local = task.next_at.astimezone(self.settings().zone)
            self.journal.task(task.slug, f"Task Next Execution Time: {local:%Y-%m-%d %H:%M:%S %z %Z}")
