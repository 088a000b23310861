"""The engine as seen from outside, without a word to it: whether one runs, which, and how to start one.

``engine.lock`` is held for as long as an engine lives, so a lock that can be had proves that none does; a pid file
alone would prove nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keiji import workspace
from keiji.errors import EngineOffline, EngineRunning, KeijiError
from keiji.paths import Paths

ENGINE = "engine"
COMMAND = "command"


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine writes about itself into ``engine.json``, for those who cannot ask it over the bus."""

    pid: int
    boot: str
    version: str
    started_at: str
    services: tuple[dict[str, Any], ...] = ()


@contextlib.contextmanager
def hold_lock(paths: Paths, holder: str = ENGINE, *, limit: float = 60.0) -> Iterator[None]:
    """Hold the engine's lock; at most one process does.

    Args:
        holder: ENGINE, or COMMAND for a command that works for a moment in the engine's place.
        limit: seconds to wait for a command to end; an engine is not waited for.

    Raises:
        EngineRunning: another process holds it.
    """
    paths.make()
    deadline = time.monotonic() + limit
    with contextlib.ExitStack() as locks:
        if holder == COMMAND:
            _take(locks, paths, paths.lock.with_name("command.lock"), fcntl.LOCK_EX, deadline)
        # A command shares the engine's lock with those who only look, so that nobody takes it for an engine.
        _take(locks, paths, paths.lock, fcntl.LOCK_EX if holder == ENGINE else fcntl.LOCK_SH, deadline)
        yield


def _take(locks: contextlib.ExitStack, paths: Paths, path: Path, kind: int, deadline: float) -> None:
    held = locks.enter_context(path.open("a+b"))
    while True:
        try:
            fcntl.flock(held, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if is_running(paths):
                note = read_info(paths)
                raise EngineRunning(
                    f"an engine is already running for {paths.workspace} (pid {note.pid if note else 'unknown'})",
                    hint="keiji system status shows it; keiji system stop ends it",
                ) from error
            if time.monotonic() > deadline:
                raise EngineRunning(
                    f"another keiji command has been at work on {paths.data} for too long",
                    hint="try again when it has ended",
                ) from error
            time.sleep(0.01)
        else:
            return


def is_running(paths: Paths) -> bool:
    """Return whether an engine lives, at once and without disturbing it."""
    try:
        probe = paths.lock.open("rb")
    except OSError:
        return False
    with probe:
        try:
            # Shared, so that two who look at the same time do not take each other for an engine.
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def read_info(paths: Paths) -> EngineInfo | None:
    """Return what the last engine wrote about itself; None when there is no such file. It may be dead by now."""
    try:
        data = json.loads(paths.engine.read_bytes())
        return EngineInfo(data["pid"], data["boot"], data["version"], data["started_at"], tuple(data["services"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_info(paths: Paths, note: EngineInfo) -> None:
    """Write ``engine.json`` so that a reader sees the old one or the new one."""
    draft = paths.engine.with_suffix(f".{os.getpid()}")
    draft.write_text(
        json.dumps(
            {
                "pid": note.pid,
                "boot": note.boot,
                "version": note.version,
                "started_at": note.started_at,
                "services": list(note.services),
            }
        )
    )
    draft.replace(paths.engine)


def start(paths: Paths, arguments: Sequence[str] = (), *, limit: float = 90.0) -> int:
    """Start an engine in the background, in a session of its own, and return its pid once it is ready.

    Args:
        arguments: options of ``keiji-engine``.
        limit: seconds to wait for it.

    Raises:
        EngineRunning: one runs already.
        WorkspaceMissing, InvalidSettings: it could not work; nothing is made then.
        KeijiError: it ended, or was not ready in time; the message has what it last said.
    """
    if is_running(paths):
        note = read_info(paths)
        raise EngineRunning(f"an engine is already running (pid {note.pid if note else 'unknown'})")
    workspace.check(paths)
    paths.make()
    output = paths.logs / "services" / "engine.out"
    output.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | environment_of(paths)
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "keiji_engine.main", "--quiet", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
            cwd="/",
        )
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        note = read_info(paths)
        if note is not None and note.pid == process.pid:
            # Somebody has to hear of its end, or it stays a zombie for as long as a terminal that started it lives.
            threading.Thread(target=process.wait, daemon=True).start()
            return process.pid
        if process.poll() is not None:
            raise KeijiError(f"the engine ended at once (exit code {process.returncode})", hint=_tail(output))
        time.sleep(0.02)
    raise KeijiError(f"the engine (pid {process.pid}) was not ready within {limit:g} s", hint=_tail(output))


def environment_of(paths: Paths) -> dict[str, str]:
    """Return the variables that lead another process to the same ``paths``."""
    variables = {"KEIJI_WORKSPACE": str(paths.workspace)}
    if os.environ.get("KEIJI_ROOT") or paths != Paths.from_environment(variables):
        variables["KEIJI_ROOT"] = str(paths.data)
    return variables


def send_signal(paths: Paths, number: signal.Signals) -> int:
    """Send a signal to the engine and return its pid.

    Raises:
        EngineOffline: none runs.
    """
    note = read_info(paths)
    if note is None or not is_running(paths):
        raise EngineOffline(hint="keiji system start starts it")
    os.kill(note.pid, number)
    return note.pid


def wait_for_exit(paths: Paths, limit: float) -> bool:
    """Wait for the engine's end for up to ``limit`` seconds; return whether it is gone."""
    deadline = time.monotonic() + limit
    while is_running(paths):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _tail(path: Path, lines: int = 8) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
