"""The composition root: one engine, its four services, and what signals do to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import traceback
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

from keiji import __version__, engine_process
from keiji import settings as settings_file
from keiji.engine_process import SERVICES
from keiji.errors import InvalidSettings, KeijiError, UsageError
from keiji.paths import Paths
from keiji.settings import Settings
from keiji.states import ENDED
from keiji_engine import builds
from keiji_engine.bus import protocol as p
from keiji_engine.bus.server import BusServer
from keiji_engine.bus.views import EngineView, ServiceStatus, ServiceView
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.dispatch import Dispatcher
from keiji_engine.logs.service_log import Journal
from keiji_engine.logs.tailing import TaskLogs
from keiji_engine.run_service import RunService
from keiji_engine.scheduler import clock_changes
from keiji_engine.scheduler.planner import Conditions
from keiji_engine.scheduler_service import SchedulerService
from keiji_engine.services import Service
from keiji_engine.state import EngineState
from keiji_engine.storage.async_store import AsyncStore
from keiji_engine.storage.retention import Retention
from keiji_engine.storage.store import Store
from keiji_engine.watcher import Watcher

# The bus and the runner come first, so that everybody can see and hear what the scheduler then does.
_START_ORDER = ("bus", "runner", "scheduler", "watcher")
_REPLY_FIRST = 0.1  # seconds for the reply to leave before the bus that carries it goes down


def now() -> datetime:
    """Return the wall clock's time, in UTC."""
    return datetime.now(UTC)


class Engine:
    """Wires everything together, then starts, runs and shuts down.

    Args:
        only: names of the services to start; the others can be started later.
        echo: whether service logs also go to standard error.
    """

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        *,
        only: Sequence[str] = SERVICES,
        echo: bool = False,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self.paths = paths
        self.settings = settings
        self.boot = uuid.uuid4().hex
        self.started_at = clock()
        self._only = only
        self._ending = asyncio.Event()
        self._asked = False
        self._clock = clock
        self._later: set[asyncio.Task[Any]] = set()

        self.ledger = AsyncStore()
        self.journal = journal = Journal(paths, lambda: self.settings, clock, echo=echo)
        self.board = EngineState(paths, self._tell)
        self.runs = RunService(
            paths=paths,
            settings=lambda: self.settings,
            ledger=self.ledger,
            board=self.board,
            journal=journal,
            clock=clock,
            nudge=self.nudge,
        )
        self.scheduler = SchedulerService(
            world=self.board,
            carry_out=self.runs.carry_out,
            apply_set_back=lambda seen: clock_changes.apply_set_back(self.desk, seen),
            conditions=self._conditions,
            clock=clock,
            note=lambda text, level: journal.service("scheduler", text, level),
        )
        self.watcher = Watcher(paths.tasks, self.board.active_files, self.board.put_sources)
        self.desk = Context(paths, lambda: self.settings, self.ledger, self.board, journal, clock, control=self)
        self.retention = Retention(
            self.ledger,
            lambda: self.settings,
            lambda: [task.slug for task in self.board.tasks()],
            clock,
            lambda text, level: journal.service("repo", text, level),
        )
        self.dispatcher = Dispatcher(self.desk, self._tell)
        self.bus = BusServer(
            paths,
            self.boot,
            self.dispatcher.answer,
            TaskLogs(paths, lambda slug: self.board.task(slug) is not None),
            lambda text: journal.service("bus", text),
        )
        serves = {
            "bus": self.bus.serve,
            "scheduler": self.scheduler.serve,
            "runner": self.runs.serve,
            "watcher": self._watch,
        }
        self.services = {name: Service(name, serves[name], self._service_changed, clock) for name in SERVICES}

    # ── a life ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Start, call ``ready``, serve until told to end, and shut down. Raises StorageError when it cannot start."""
        self.journal.service("engine", f"keiji {__version__} starts (pid {os.getpid()})")
        try:
            await self._live(ready)
        except Exception as error:
            # Standard error goes to a file that the next engine overwrites.
            whole = str(error) if isinstance(error, KeijiError) else traceback.format_exc()
            for line in whole.splitlines():
                self.journal.service("engine", line, "ERROR")
            raise
        self.journal.service("engine", "ended, as it was asked to")

    async def _live(self, ready: Callable[[], None]) -> None:
        await self._startup()
        try:
            ready()
            _notify_systemd("READY=1")
            await self._ending.wait()
        finally:
            _notify_systemd("STOPPING=1")
            await self._shutdown()

    async def _startup(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_end)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # nothing to read anew before everything is loaded
        await self.ledger.open(self.settings, self.paths)
        self.journal.service("repo", f"database open ({self.settings.database_kind})")
        await self.board.load(self.ledger)
        await clock_changes.look_at_clock(self.desk)
        await clock_changes.move_to_zone(self.desk)
        kept = await self.ledger.do(Store.build_hashes)
        self._soon("repo", asyncio.to_thread(builds.collect, self.paths.builds, kept))
        self._pruning = self._soon("repo", self.retention.serve())
        for name in _START_ORDER:
            if name in self._only:
                await self.services[name].start()
        self._write_note()
        loop.add_signal_handler(signal.SIGHUP, lambda: self._soon("scheduler", self._reload()))

    async def _shutdown(self) -> None:
        self._tell(p.EngineStopping())
        for name in reversed(_START_ORDER):
            await self.services[name].stop()
        self._pruning.cancel()
        await asyncio.wait([self._pruning])
        await self.ledger.close()
        self.paths.engine_info.unlink(missing_ok=True)

    def _asked_to_end(self) -> None:
        if self._asked:
            # Asked twice: something hangs. RunService are no children of this process and go on either way.
            os._exit(1)
        self._asked = True
        self._ending.set()

    async def _reload(self) -> None:
        """Read the settings anew and start every service that is not running."""
        try:
            loaded = settings_file.load(self.paths.settings)
        except InvalidSettings as error:
            self.journal.service("scheduler", f"the settings stay as they were: {error.message}", "ERROR")
        else:
            await self._apply(loaded)
        for name in _START_ORDER:
            if not self._ending.is_set():
                await self.services[name].start()

    async def _apply(self, loaded: Settings) -> None:
        if loaded.db_url != self.settings.db_url:
            self.journal.service("repo", "DB_URL has changed; it takes effect when the engine starts anew", "WARN")
        self.settings = loaded
        self.journal.service("scheduler", f"settings read, time zone {loaded.time_zone}")
        await clock_changes.move_to_zone(self.desk)

    def _conditions(self) -> Conditions:
        return Conditions(
            zone=self.settings.zone,
            can_run=self.runs.is_online,
            pause=self.board.pause,
            max_parallel=self.settings.max_parallel_runs or None,
        )

    async def _watch(self, ready: Callable[[], None]) -> None:
        ready()
        await self.watcher.run()

    # ── what handlers ask of it (handlers.desk.Control) ──────────────────────────────────────────────────────────

    def engine_view(self) -> EngineView:
        return EngineView(
            pid=os.getpid(),
            version=__version__,
            boot=self.boot,
            started_at=self.started_at,
            workspace=str(self.paths.workspace),
            database=self.settings.database_kind,
            time_zone=self.settings.time_zone,
            pause=self.board.pause,
        )

    def engine_changed(self) -> None:
        self._tell(p.EngineChanged(engine=self.engine_view()))

    def service_views(self) -> tuple[ServiceView, ...]:
        return tuple(self.services[name].view for name in SERVICES)

    def position(self) -> tuple[str, int]:
        return self.boot, self.bus.seq

    def nudge(self) -> None:
        self.scheduler.nudge()

    def recheck_sources(self, slug: str) -> None:
        self.watcher.recheck(slug)

    async def start_service(self, name: str) -> None:
        service = self._service(name)
        await service.start()
        if service.view.status == ServiceStatus.FAILED:
            raise KeijiError(f"{name} could not be started: {service.view.detail}")

    async def stop_service(self, name: str) -> None:
        service = self._service(name)
        if name == "bus":
            self._soon(name, self._after_reply(service.stop))
        else:
            await service.stop()

    async def restart_service(self, name: str) -> None:
        if name == "bus":
            self._soon(name, self._after_reply(self._service(name).stop, self._service(name).start))
        else:
            await self._service(name).stop()
            await self.start_service(name)

    def shut_down(self) -> None:
        asyncio.get_running_loop().call_later(_REPLY_FIRST, self._ending.set)

    def _service(self, name: str) -> Service:
        if name not in self.services:
            raise UsageError(f"there is no service {name!r}; the services are {', '.join(SERVICES)}")
        return self.services[name]

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, event: p.AnyEvent) -> None:
        if isinstance(event, p.RunChanged) and event.run.state in ENDED:
            self.retention.added(event.run.task)
        self.bus.publish(event)

    def _service_changed(self, view: ServiceView) -> None:
        level = "ERROR" if view.status == ServiceStatus.FAILED else "INFO"
        detail = f": {view.detail}" if view.detail else ""
        self.journal.service(view.name, f"{view.name} {view.status}{detail}", level)
        self._tell(p.ServiceChanged(service=view))
        if self.paths.engine_info.exists():
            self._write_note()

    def _write_note(self) -> None:
        services = tuple(
            {"name": view.name, "status": str(view.status), "since": view.since.isoformat(), "detail": view.detail}
            for view in self.service_views()
        )
        note = engine_process.EngineInfo(os.getpid(), self.boot, __version__, self.started_at.isoformat(), services)
        with contextlib.suppress(OSError):
            engine_process.write_info(self.paths, note)

    async def _after_reply(self, *steps: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(_REPLY_FIRST)
        for step in steps:
            await step()

    def _soon(self, service: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do something beside everything else, and return it; should it fail, the log of ``service`` says so."""

        def done(task: asyncio.Task[Any]) -> None:
            self._later.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self.journal.service(service, str(error) or repr(error), "ERROR")

        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(done)
        return task


def _notify_systemd(state: str) -> None:
    """Tell systemd where this is a service of Type=notify; do nothing elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
