"""What every handler has at hand, with or without a running engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from keiji.errors import EngineOffline, ServiceOffline
from keiji.paths import Paths
from keiji.records import Task
from keiji.schedule import Schedule
from keiji.settings import Settings
from keiji_engine.board import Board
from keiji_engine.bus.views import EngineView, ServiceView
from keiji_engine.journal import Journal
from keiji_engine.ledger import Ledger

if TYPE_CHECKING:  # a command without an engine runs nothing
    from keiji_engine.runs import Runs


class Control(Protocol):
    """What a handler may ask of the engine itself."""

    runs: Runs

    def engine_view(self) -> EngineView: ...

    def service_views(self) -> tuple[ServiceView, ...]: ...

    def position(self) -> tuple[str, int]:
        """Return the boot and the number of the newest event."""

    def nudge(self) -> None:
        """Have the scheduler look again."""

    def recheck_sources(self, slug: str) -> None:
        """Have the watcher compare the sources of a task with its build."""

    async def start_service(self, name: str) -> None: ...

    async def stop_service(self, name: str) -> None: ...

    async def restart_service(self, name: str) -> None: ...

    def shut_down(self) -> None:
        """Begin the engine's end, and return at once."""


@dataclass(frozen=True)
class Desk:
    """The parts that a handler works with; ``control`` is None where no engine runs."""

    paths: Paths
    settings: Callable[[], Settings]
    ledger: Ledger
    board: Board
    journal: Journal
    clock: Callable[[], datetime]
    control: Control | None = None

    def engine(self) -> Control:
        """Return the running engine. Raises EngineOffline where none runs."""
        if self.control is None:
            raise EngineOffline("the engine is not running, and this needs it", hint="keiji system start starts it")
        return self.control

    def runs(self) -> Runs:
        """Return what starts and stops runs. Raises EngineOffline or ServiceOffline where nothing can."""
        runs = self.engine().runs
        if not runs.is_online:
            raise ServiceOffline("the runner is stopped, and this needs it", hint="keiji system start starts it")
        return runs

    def nudge(self) -> None:
        """Have the scheduler look again, where one runs."""
        if self.control is not None:
            self.control.nudge()

    async def stop_runs(self, task: Task, reason: str) -> bool:
        """Stop what runs or waits of a task, and return whether there was anything.

        Raises:
            EngineOffline: a run may still be going on, and no engine is there to stop it.
        """
        live = self.board.live_run(task.slug)
        if self.control is None and live is None:
            return False
        if self.control is None:
            raise EngineOffline(
                f"{task.name} may still be running, from before the engine ended; only an engine can stop it",
                hint="keiji system start, then again",
            )
        return await self.control.runs.stop(task, reason)

    def placed(self, schedule: Schedule) -> tuple[Schedule, datetime | None]:
        """Return a schedule counted from now, in the zone of the workspace, and its next instant."""
        now = self.clock()
        placed = schedule.placed(anchor=now, zone=self.settings().time_zone)
        return placed, placed.next_after(now)

    def tell_schedule(self, task: Task) -> None:
        """Write into the task's log when it runs from now on."""
        schedule = task.schedule
        if schedule is None or task.next_at is None:
            return
        if schedule.type == "HMS":
            interval = schedule.seed_form().rpartition(":")[2]
            self.journal.task(task.slug, f"task {task.name} interval: {interval} ({schedule.words()})")
        else:
            local = task.next_at.astimezone(self.settings().zone)
            self.journal.task(task.slug, f"Task Next Execution Time: {local:%Y-%m-%d %H:%M:%S %z %Z}")
