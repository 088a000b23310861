"""Control of the engine process and its services from outside: status, start, stop."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keiji import engine_process
from keiji.engine_process import SERVICES
from keiji.errors import EngineOffline, EngineUnreachable, KeijiError, NotRunning, ServiceOffline
from keiji.paths import Paths
from keiji_cli import client, output

if TYPE_CHECKING:
    from keiji.records import Pause

_REQUIRED_BY = {"scheduler": ("runner", "watcher")}  # started with a service that does not work without them

_CHANGE_TIMEOUT = 20.0  # seconds for a service to start or stop
_STOP_TIMEOUT = 20.0
_RESTORE_TIMEOUT = 1.5  # seconds within which a working engine has created deleted files again


@dataclass(frozen=True)
class ServiceInfo:
    """The state of a service.

    Attributes:
        status: as in `keiji_engine.bus.views.ServiceStatus`, or "stale" if the engine does not respond.
        since: when the status changed, as ISO 8601; None if no engine is running.
        detail: why the service has failed or is degraded; otherwise "".
    """

    name: str
    status: str = "offline"
    since: str | None = None
    detail: str = ""

    @property
    def is_up(self) -> bool:
        return self.status in {"online", "degraded"}


def get_services(paths: Paths) -> list[ServiceInfo]:
    """Return the state of each service. It is read from the engine's file, so it is available without the bus."""
    info = engine_process.read_info(paths) if engine_process.is_running(paths) else None
    known = {service["name"]: service for service in (info.services if info else ())}
    return [
        ServiceInfo(name, known[name]["status"], known[name]["since"], known[name]["detail"])
        if name in known
        else ServiceInfo(name)
        for name in SERVICES
    ]


def get_offline_services(paths: Paths, names: Iterable[str] = SERVICES) -> list[str]:
    """Return the services among ``names`` that are not online."""
    online = {service.name for service in get_services(paths) if service.is_up}
    return [name for name in names if name not in online]


def sort_bus_last(names: Iterable[str]) -> list[str]:
    """Return services in the order in which to stop them: once the bus is down, no request reaches the engine."""
    return sorted(names, key=lambda name: name == "bus")


def ping_engine(paths: Paths, timeout: float = 2.0) -> tuple[EngineUnreachable | None, Pause | None, list[ServiceInfo]]:
    """Return the error if a running engine does not respond in time, the pause of the system, and its services.

    The services are empty if it does not answer. An engine whose bus is stopped cannot be asked and counts as
    responsive.

    Args:
        timeout: in seconds.
    """
    if not engine_process.is_running(paths):
        return None, None, []
    from keiji_engine.bus.protocol import Ping
    from keiji_engine.client.facade import ask

    error = wait_until_reachable(paths)
    if error is not None:
        return error, None, []
    try:
        reply = ask(paths, Ping(), timeout=timeout)
    except (ServiceOffline, EngineOffline):
        return None, None, []
    except KeijiError:
        why = "it does not respond: it is suspended or hangs"
        return EngineUnreachable.with_pid(engine_process.find_pid(paths), why), None, []
    answered = [
        ServiceInfo(view.name, str(view.status), view.since.isoformat(), view.detail) for view in reply.services
    ]
    return None, reply.engine.pause, sorted(answered, key=lambda service: SERVICES.index(service.name))


def wait_until_reachable(paths: Paths, timeout: float = _RESTORE_TIMEOUT) -> EngineUnreachable | None:
    """Wait until clients find the files of a running engine; return the error if they are still missing in the end."""
    deadline = time.monotonic() + timeout
    while (error := engine_process.find_unreachable(paths)) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    return error


def start_engine(paths: Paths, names: Sequence[str] = ()) -> int:
    """Start an engine with all services, or with ``names`` and the services that they require; return its pid."""
    return engine_process.start(paths, [argument for name in with_required(names) for argument in ("--only", name)])


def with_required(names: Iterable[str]) -> list[str]:
    """Return services and those that they require, which come first."""
    return list(dict.fromkeys(each for name in names for each in (*_REQUIRED_BY.get(name, ()), name)))


def check_start(paths: Paths) -> None:
    """Check what an engine needs to start, without disturbing one that runs; print a warning about an empty database.

    Raises:
        WorkspaceMissing, InvalidSettings: the workspace cannot be used.
        StorageError: the database cannot be used, or this version does not know its schema.
        KeijiError: this installation of keiji is broken.
    """
    settings = client.load_settings(paths)
    try:
        import keiji_engine.engine  # noqa: F401
        from keiji_engine.builds.workspace_file import read_defaults
        from keiji_engine.storage.preflight import describe_other_database
    except ImportError as error:
        raise KeijiError(f"keiji cannot be imported: {error}", hint="reinstall it") from error
    read_defaults(paths.workspace)
    if (warning := describe_other_database(settings, paths)) is not None:
        output.print_warning(warning)


def require_detached(paths: Paths) -> None:
    """Ensure that the engine was started by ``keiji system start``.

    Raises:
        KeijiError: another program has started it, and would start a second one or end with it.
    """
    info = engine_process.read_info(paths)
    if info is not None and not info.is_detached:
        raise KeijiError(
            f"the engine (pid {info.pid}) runs in the foreground, under systemd, in a container or in a shell",
            hint="restart it there, for example with `systemctl --user restart keiji` or `docker restart`",
        )


def stop_service(paths: Paths, name: str) -> tuple[str, ...]:
    """Stop a service of a running engine and return the output for the user."""
    from keiji_engine.bus.protocol import StopService

    lines = client.execute(paths, StopService(service=name))
    # The bus replies before it stops.
    _wait_until(paths, lambda: bool(get_offline_services(paths, [name])))
    return lines


def restart_service(paths: Paths, name: str) -> tuple[str, ...]:
    """Restart a service of a running engine and return the output for the user."""
    from keiji_engine.bus.protocol import RestartService

    before = _status_since(paths, name)
    lines = client.execute(paths, RestartService(service=name))
    _wait_until(paths, lambda: not get_offline_services(paths, [name]) and _status_since(paths, name) != before)
    return lines


def _status_since(paths: Paths, name: str) -> str | None:
    return next(service.since for service in get_services(paths) if service.name == name)


def start_bus(paths: Paths) -> None:
    """Start the bus of a running engine with a signal, since no request reaches the engine without it.

    Raises:
        EngineOffline, EngineUnreachable: no engine is running, or its process is unknown.
        KeijiError: the bus did not start; the message says why.
    """
    # By default, the signal kills a process; only an engine that is ready is known to handle it.
    engine_process.send_signal(paths, signal.SIGUSR1 if engine_process.is_ready(paths) else signal.SIGHUP)
    _wait_until(paths, lambda: not get_offline_services(paths, ["bus"]))


def start_stopped_services(paths: Paths) -> None:
    """Start all stopped services of a running engine with a signal, which works without the bus.

    Raises:
        EngineOffline: no engine is running.
        KeijiError: a service did not start; the message says why.
    """
    engine_process.send_signal(paths, signal.SIGHUP)
    _wait_until(paths, lambda: not get_offline_services(paths))


def _wait_until(paths: Paths, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _CHANGE_TIMEOUT
    while not condition():
        if time.monotonic() > deadline or not engine_process.is_running(paths):
            raise KeijiError(
                "; ".join(_describe_offline(paths)) or "the engine exited",
                hint="keiji system logs --scheduler may show the cause",
            )
        time.sleep(0.02)


def _describe_offline(paths: Paths) -> Iterator[str]:
    for service in get_services(paths):
        if not service.is_up:
            yield f"{service.name} is {service.status}" + (f": {service.detail}" if service.detail else "")


def stop_engine(paths: Paths) -> int:
    """Stop the engine, wait until it has exited and return its pid. Live runs continue.

    Raises:
        EngineOffline: no engine is running.
        EngineUnreachable: it is not known which process is the engine, and it cannot be reached over the bus either.
        KeijiError: the engine has not exited in time.
    """
    pid = _request_stop(paths)
    with contextlib.suppress(EngineOffline, EngineUnreachable):
        engine_process.send_signal(paths, signal.SIGCONT)  # a suspended engine would not handle the first one
    if engine_process.wait_for_exit(paths, _STOP_TIMEOUT):
        return pid
    raise KeijiError(
        f"the engine (pid {pid}) has not exited within {_STOP_TIMEOUT:g}s",
        hint="keiji system stop --force kills it; its runs continue",
    )


def _request_stop(paths: Paths) -> int:
    from keiji_engine.bus.protocol import Shutdown

    try:
        return engine_process.send_signal(paths, signal.SIGTERM)
    except EngineUnreachable:  # for example, it runs in another container that shares the folders
        if engine_process.find_unreachable(paths) is not None:
            raise
        info = engine_process.read_info(paths)
        client.execute(paths, Shutdown())
        return info.pid if info is not None else 0


def kill_engine(paths: Paths) -> int:
    """Kill the engine and return its pid. Live runs continue; the next engine records their results.

    Raises:
        EngineOffline: no engine is running.
    """
    pid = engine_process.send_signal(paths, signal.SIGKILL)
    engine_process.wait_for_exit(paths, _STOP_TIMEOUT)
    return pid


def count_run_files(paths: Paths) -> int:
    """Return the number of runs that are live, or that ended without an engine and are not recorded yet."""
    try:
        return sum(1 for entry in paths.runs.iterdir() if entry.is_file() and "." not in entry.name)
    except OSError:
        return 0


def stop_engine_and_runs(paths: Paths) -> None:
    """Stop every live run, then the engine. Orphaned runs are adopted by an engine first: only an engine can stop them.

    Raises:
        KeijiError: a run or the engine could not be stopped.
    """
    if not engine_process.is_running(paths):
        if not count_run_files(paths):
            return
        start_engine(paths, ["bus", "runner"])
    elif get_offline_services(paths, ["bus", "runner"]):
        start_stopped_services(paths)
    _stop_runs(paths)
    stop_engine(paths)


def _stop_runs(paths: Paths) -> None:
    from keiji_engine.bus.protocol import StopRun

    if not get_offline_services(paths, ["scheduler"]):
        stop_service(paths, "scheduler")  # otherwise it could start new runs while the live ones are stopped

    def stop(slug: str) -> None:
        with contextlib.suppress(NotRunning):  # the run has ended since the tasks were listed
            client.execute(paths, StopRun(task=slug))

    running = [task.slug for task in client.get_tasks(paths) if task.is_running]
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(stop, running))
