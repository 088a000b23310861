"""The engine and its services, from the outside: how they do, starting them, ending them."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from keiji import engine_process
from keiji.engine_process import SERVICES
from keiji.errors import KeijiError, NotRunning
from keiji.paths import Paths
from keiji.records import Pause
from keiji_cli import client


def bus_last(chosen: Iterable[str]) -> list[str]:
    """Return services in the order in which they can be stopped: nothing can be asked once the bus is down."""
    return sorted(chosen, key=lambda name: name == "bus")


_ALWAYS_ALONG = ("runner", "watcher")  # people start the bus and the scheduler; neither is of use without these

_START_LIMIT = 20.0
_STOP_LIMIT = 20.0


def statuses(paths: Paths) -> list[dict[str, Any]]:
    """Return ``name``, ``status``, ``since`` and ``detail`` of each service; also while the bus is down."""
    note = engine_process.read_info(paths) if engine_process.is_running(paths) else None
    known = {service["name"]: service for service in (note.services if note else ())}
    offline = {"status": "offline", "since": None, "detail": ""}
    return [{"name": name} | offline | dict(known.get(name, {})) for name in SERVICES]


def answer(paths: Paths, limit: float = 2.0) -> tuple[bool, Pause | None]:
    """Return whether the engine answers within ``limit`` seconds, and whether it has paused everything.

    One whose bus is stopped cannot be asked, and counts as one that would answer.
    """
    from keiji_engine.bus.protocol import Ping
    from keiji_engine.client.facade import ask

    try:
        reply = ask(paths, Ping(), limit=limit)
    except KeijiError as error:
        return error.code in {"service-offline", "engine-offline"}, None
    return True, reply.engine.pause


def down(paths: Paths, wanted: Iterable[str] = SERVICES) -> list[str]:
    """Return those of ``wanted`` that are not online."""
    online = {service["name"] for service in statuses(paths) if service["status"] == "online"}
    return [name for name in wanted if name not in online]


def start_engine(paths: Paths, only: Sequence[str] = ()) -> int:
    """Start an engine, with all services or those in ``only`` and what they need; return its pid."""
    chosen = dict.fromkeys([*only, *_ALWAYS_ALONG]) if only else {}
    return engine_process.start(paths, [word for name in chosen for word in ("--only", name)])


def stop_service(paths: Paths, name: str) -> tuple[str, ...]:
    """Stop one service of a running engine and return what that says to people."""
    from keiji_engine.bus.protocol import StopService

    lines = client.carry_out(paths, StopService(service=name))
    # The bus has to answer before it goes down.
    _wait(paths, lambda: bool(down(paths, [name])))
    return lines


def restart_service(paths: Paths, name: str) -> tuple[str, ...]:
    """Stop and start one service of a running engine and return what that says to people."""
    from keiji_engine.bus.protocol import RestartService

    before = _since(paths, name)
    lines = client.carry_out(paths, RestartService(service=name))
    _wait(paths, lambda: not down(paths, [name]) and _since(paths, name) != before)
    return lines


def _since(paths: Paths, name: str) -> str | None:
    since: str | None = next(service["since"] for service in statuses(paths) if service["name"] == name)
    return since


def start_all_in_engine(paths: Paths) -> None:
    """Have a running engine start every service that is stopped, even where its bus is one of them.

    Raises:
        EngineOffline: none runs.
        KeijiError: a service did not start; the message says why.
    """
    engine_process.send_signal(paths, signal.SIGHUP)
    _wait(paths, lambda: not down(paths))


def _wait(paths: Paths, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while not is_so():
        if time.monotonic() > deadline or not engine_process.is_running(paths):
            raise KeijiError(
                "; ".join(_why(paths)) or "the engine ended", hint="keiji system logs --scheduler may tell more"
            )
        time.sleep(0.02)


def _why(paths: Paths) -> Iterator[str]:
    for service in statuses(paths):
        if service["status"] != "online":
            detail = f": {service['detail']}" if service["detail"] else ""
            yield f"{service['name']} is {service['status']}{detail}"


def end_engine(paths: Paths) -> int:
    """End the engine and return its pid once it is gone. Live runs go on.

    Raises:
        EngineOffline: none runs.
        KeijiError: it is still there after its time.
    """
    pid = engine_process.send_signal(paths, signal.SIGTERM)
    if engine_process.wait_for_exit(paths, _STOP_LIMIT):
        return pid
    raise KeijiError(
        f"the engine (pid {pid}) has not ended within {_STOP_LIMIT:g} s",
        hint="keiji system stop --force ends it at once; its runs go on",
    )


def kill_engine(paths: Paths) -> int:
    """End the engine without asking it and return its pid. Live runs go on; the next engine finds what became of them.

    Raises:
        EngineOffline: none runs.
    """
    pid = engine_process.send_signal(paths, signal.SIGKILL)
    engine_process.wait_for_exit(paths, _STOP_LIMIT)
    return pid


def live_runs(paths: Paths) -> int:
    """Return how many runs have a file: they live, or ended while no engine was there to record it."""
    try:
        return sum(1 for entry in paths.runs.iterdir() if entry.is_file() and "." not in entry.name)
    except OSError:
        return 0


def end_everything(paths: Paths) -> None:
    """Stop every live run, then the engine. Runs that outlived their engine are adopted first: only it can stop them.

    Raises:
        KeijiError: a run or the engine could not be stopped.
    """
    if not engine_process.is_running(paths):
        if not live_runs(paths):
            return
        start_engine(paths, only=["bus"])
    elif down(paths, ["bus", "runner"]):
        start_all_in_engine(paths)
    _stop_runs(paths)
    end_engine(paths)


def _stop_runs(paths: Paths) -> None:
    from keiji_engine.bus.protocol import StopRun

    if not down(paths, ["scheduler"]):
        stop_service(paths, "scheduler")  # or it would start others meanwhile

    def stop(slug: str) -> None:
        with contextlib.suppress(NotRunning):  # it ended by itself
            client.carry_out(paths, StopRun(task=slug))

    live = [task.slug for task in client.tasks(paths) if task.is_running]
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(stop, live))
