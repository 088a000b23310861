"""The composition root: one engine with its services, and its life from start to shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from keiji import __version__
from keiji import settings as settings_file
from keiji.engine_process import SERVICES, EngineLock
from keiji.errors import InvalidSettings, KeijiError, StorageError
from keiji.paths import Paths
from keiji.reasons import Reason
from keiji.settings import Settings
from keiji_engine.background import BackgroundTasks
from keiji_engine.builds.workspace_file import Defaults, read_defaults
from keiji_engine.bus import protocol as p
from keiji_engine.bus.server import BusServer
from keiji_engine.control import RunningEngine
from keiji_engine.event_service import EventService
from keiji_engine.events import Committed, DatabaseChecked, DatabaseReplaced, EventBus
from keiji_engine.handlers.collect import collect_builds
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.dispatch import Dispatcher
from keiji_engine.handlers.ledger import record_lifecycle
from keiji_engine.handlers.rename import recover as recover_rename
from keiji_engine.logs.health import LogHealth
from keiji_engine.logs.service_log import LogfmtHandler, ServiceLogWriter
from keiji_engine.logs.tailing import TaskLogs
from keiji_engine.orphans import reap_orphans
from keiji_engine.own_loop import DaemonThreads
from keiji_engine.run_service import RunService
from keiji_engine.runtime_folder import RuntimeFolder
from keiji_engine.scheduler.model import Conditions
from keiji_engine.scheduler_service import (
    SchedulerService,
    apply_set_back,
    apply_set_forward,
    check_recorded_clock,
    move_to_zone,
    note_clock,
)
from keiji_engine.services import ServiceSupervisor
from keiji_engine.state import EngineState
from keiji_engine.storage.async_store import AsyncStore
from keiji_engine.storage.preflight import describe_other_database
from keiji_engine.storage.retention import Retention
from keiji_engine.watcher import Watcher

CLOCK_INTERVAL = 60.0  # seconds between two looks at a clock that may have been set
_MAX_THREADS = 64  # calls that wait for the disk at the same time
_NEED_DATABASE = ("scheduler", "runner")  # the services that do nothing while the database rejects writes
LOG_LIMIT = 2.0  # seconds at shutdown to write the last lines of the service logs

_log = logging.getLogger("keiji.engine")
_scheduler_log = logging.getLogger("keiji.scheduler")
_repo_log = logging.getLogger("keiji.repo")


def now() -> datetime:
    """Return the time of the wall clock, in UTC."""
    return datetime.now(UTC)


class Engine:
    """Wires everything together; starts, runs and shuts down.

    Args:
        lock: the engine's lock, which this process holds.
        only: names of the services to start; the others can be started later.
        echo: whether service logs also go to standard error.
        drain: seconds to wait for live runs when the engine is stopped, before they are stopped, too; None to leave
            them to the next engine.
        max_grace: seconds after which runs that are stopped at the end are killed, even if their policy grants more.
        is_detached: whether ``keiji system start`` has started the engine.
    """

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        *,
        lock: EngineLock,
        only: Sequence[str] = SERVICES,
        echo: bool = False,
        clock: Callable[[], datetime] = now,
        drain: float | None = None,
        max_grace: float | None = None,
        is_detached: bool = False,
    ) -> None:
        self._paths = paths
        self._drain_seconds = drain
        self._max_grace = max_grace
        self._settings = settings
        self._only = only
        self._clock = clock
        self._is_interrupted = False

        def current_settings() -> Settings:
            return self._settings

        self._log_health = LogHealth(paths, self._set_log_problem, lambda slug: self._state.task(slug) is not None)
        handler = LogfmtHandler(paths, current_settings, echo=echo, on_written=self._log_health.report)
        self._logs = ServiceLogWriter(handler)
        self._background = BackgroundTasks()
        self._store = AsyncStore()
        self._events = events = EventBus()
        self._state = state = EngineState(paths, self._store, events)
        runs = RunService(
            paths=paths,
            settings=current_settings,
            state=state,
            events=events,
            clock=clock,
            on_log_incomplete=self._log_health.report_incomplete,
        )

        def conditions() -> Conditions:
            limit = self._settings.max_parallel_runs or None
            return Conditions(can_run=runs.is_online, pause=state.pause, max_parallel=limit)

        scheduler = SchedulerService(
            state,
            stop_run=runs.request_stop,
            conditions=conditions,
            on_set_back=self._set_back,
            on_set_forward=self._set_forward,
            clock=clock,
        )
        triggers = EventService(state, events=events, conditions=conditions, clock=clock)

        async def schedule(ready: Callable[[], None]) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(triggers.serve())
                group.create_task(scheduler.serve(ready))

        watcher = Watcher(paths.tasks, state.active_files, state.set_sources)
        bus = BusServer(
            paths,
            uuid.uuid4().hex,
            lambda request, peer: self._dispatcher.answer(request, peer),  # noqa: PLW0108 - created below
            TaskLogs(paths, lambda slug: state.task(slug) is not None),
        )
        # The bus and the runner start first, so that what the scheduler does is published and carried out.
        self._supervisor = ServiceSupervisor(
            {"bus": bus.serve, "runner": runs.serve, "scheduler": schedule, "watcher": watcher.serve},
            events,
            clock,
        )
        self._control = control = RunningEngine(
            paths=paths,
            settings=current_settings,
            state=state,
            events=events,
            supervisor=self._supervisor,
            bus=bus,
            runs=runs,
            watcher=watcher,
            background=self._background,
            lock=lock,
            clock=clock,
            is_detached=is_detached,
        )
        self._runtime = RuntimeFolder(lock, bus, control.write_info, control.stopping.set)
        self._lock = lock
        self._context = Context(paths, current_settings, state, clock, control, self._logs.flush)
        self._dispatcher = Dispatcher(self._context, events.publish, self._logs.flush)
        self._retention = Retention(state, current_settings, lambda: [task.slug for task in state.tasks()], clock)
        events.subscribe(p.Event, bus.publish)
        events.subscribe(Committed, lambda event: scheduler.wake() if event.changes else None)
        events.subscribe(p.ServiceChanged, lambda _: scheduler.wake())  # the runner may be back
        events.subscribe(Committed, lambda event: self._retention.count(event.changes.runs.values()))
        events.subscribe(DatabaseChecked, lambda event: self._set_database_problem(event.problem))
        events.subscribe(DatabaseReplaced, self._database_replaced)

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Start, call ``ready``, serve until asked to stop, and shut down. Raises StorageError if it cannot start."""
        self._logs.start()
        try:
            _log.info("keiji %s starts (pid %d)", __version__, os.getpid())
            await self._run(ready)
            _log.info("stopped as requested")
        except KeijiError as error:
            for line in str(error).splitlines():
                _log.error("%s", line)
            raise
        except Exception:
            _log.exception("the engine failed")
            raise
        finally:
            self._logs.close(LOG_LIMIT)

    async def _run(self, ready: Callable[[], None]) -> None:
        await self._start()
        try:
            ready()
            _notify_systemd("READY=1")
            await self._control.stopping.wait()
            if self._drain_seconds is not None:
                await self._supervisor.stop("scheduler")  # nothing is claimed any more
                await self._control.runs.drain(self._drain_seconds, self._max_grace)
        finally:
            _notify_systemd("STOPPING=1")
            await self._shut_down()

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(DaemonThreads(_MAX_THREADS, "worker"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._interrupt)
        for number in (signal.SIGHUP, signal.SIGUSR1):
            loop.add_signal_handler(number, lambda: None)  # these have to wait until everything is loaded
        self._state.defaults = await asyncio.to_thread(read_defaults, self._paths.workspace)
        await self._store.open(self._settings, self._paths)
        _repo_log.info("database open (%s)", self._settings.database_kind)
        await self._store.require_owner()
        if (warning := await asyncio.to_thread(describe_other_database, self._settings, self._paths)) is not None:
            _repo_log.warning("%s", warning)
        try:
            await recover_rename(self._paths, self._store.read)
        except OSError as error:
            _log.error("a rename that was interrupted cannot be completed: %s", error)
        await self._state.load()
        await self._retention.prepare()
        await check_recorded_clock(self._state, self._settings, self._clock())
        await move_to_zone(self._state, self._settings, self._clock())
        self._background.start(collect_builds(self._context), _repo_log)
        self._background.start(self._retention.serve(), _repo_log)
        self._background.start(self._state.watch_database(), _repo_log)
        self._background.start(self._log_health.serve(), _log)
        self._background.start(self._note_clock(), _scheduler_log)
        await self._supervisor.start_all(self._only)
        if os.getpid() == 1:
            self._background.start(reap_orphans(self._control.runs.runner.own_children), _log)
        await record_lifecycle(self._context, "engine-start", f"keiji {__version__} started (pid {os.getpid()})")
        self._background.start(asyncio.to_thread(self._paths.restrict), _log)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._background.start(self._reload(), _scheduler_log))
        loop.add_signal_handler(signal.SIGUSR1, lambda: self._background.start(self._start_bus(), _log))
        await self._control.set_ready()
        self._background.start(self._runtime.serve(), _log)

    async def _shut_down(self) -> None:
        self._events.publish(p.EngineStopping())
        await self._background.cancel()  # first, since a reload starts services
        await self._supervisor.stop_all()
        with contextlib.suppress(KeijiError):  # a database that is away must not prevent the end
            await note_clock(self._state, self._clock())
            await record_lifecycle(self._context, "engine-stop", "stopped as requested")
        await self._state.close()
        await self._store.close()
        await self._control.remove_info()

    def _set_database_problem(self, problem: Reason | None) -> None:
        self._supervisor.set_problem(_NEED_DATABASE, "database", problem)

    def _set_log_problem(self, log: Path, problem: Reason | None) -> None:
        service = log.parent.name
        # The logs of tasks, of the database and of the engine belong to no service; what they lack is about runs.
        owner = service if service in SERVICES and log == self._paths.service_log(service) else "runner"
        self._supervisor.set_problem([owner], str(log), problem)

    def _database_replaced(self, _: DatabaseReplaced) -> None:
        self._background.start(self._adopt_runs(), _repo_log)

    async def _adopt_runs(self) -> None:
        """Have the runner find out which of the runs in another database are live."""
        if any(view.name == "runner" and view.is_up for view in self._supervisor.views()):
            await self._supervisor.restart("runner")

    async def _set_back(self, seen: datetime) -> None:
        self._control.correct_start_time()
        await apply_set_back(self._state, self._settings, seen, self._clock())

    async def _set_forward(self, seen: datetime) -> None:
        self._control.correct_start_time()
        await apply_set_forward(self._state, self._settings, seen, self._clock())

    async def _note_clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_INTERVAL)
            self._control.correct_start_time()
            with contextlib.suppress(StorageError):  # tried again
                await note_clock(self._state, self._clock())

    def _interrupt(self) -> None:
        if self._is_interrupted:
            os._exit(1)  # the shutdown hangs; runs are no children of this process, and continue
        self._is_interrupted = True
        self._control.stopping.set()

    async def _reload(self) -> None:
        """Read the settings again, and start every service that is not running."""
        outcome, failure = "settings read again", None
        try:
            loaded = await asyncio.to_thread(settings_file.load, self._paths.settings)
            defaults = await asyncio.to_thread(read_defaults, self._paths.workspace)
        except InvalidSettings as error:
            outcome, failure = f"the settings are unchanged: {error.message}", error
            _scheduler_log.error("%s", outcome)
        else:
            if loaded.db_url != self._settings.db_url:
                outcome = (
                    "settings read again, except DB_URL: a running engine cannot change its database; "
                    "keiji system restart switches to the new one"
                )
                _repo_log.error("%s", outcome)
                loaded = replace(loaded, db_url=self._settings.db_url)
            await self._apply_settings(loaded, defaults)
        if not self._control.stopping.is_set():
            await self._supervisor.start_all()
        await record_lifecycle(self._context, "engine-reload", outcome, failure)

    async def _start_bus(self) -> None:
        """Start the bus, without which no request can start anything."""
        if not self._control.stopping.is_set():
            await self._supervisor.start_all(["bus"])

    async def _apply_settings(self, loaded: Settings, defaults: Defaults) -> None:
        self._settings = loaded
        self._state.set_defaults(defaults)
        _scheduler_log.info("settings read, time zone %s", loaded.time_zone)
        await move_to_zone(self._state, loaded, self._clock())


def _notify_systemd(state: str) -> None:
    """Notify systemd if this is a service of Type=notify."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.setblocking(False)
        notify.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
