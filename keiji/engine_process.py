"""The engine as a process: checks whether it is running, and starts, signals and awaits it, without the bus.

A running engine holds an exclusive lock on ``engine.lock``. The lock decides whether an engine is running; the pid in
``engine.json`` may belong to an engine that has died.
"""

from __future__ import annotations

import contextlib
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

from keiji import file_lock, workspace
from keiji.errors import EngineOffline, EngineRunning, KeijiError
from keiji.formats import format_duration
from keiji.paths import Paths

SERVICES = ("bus", "scheduler", "runner", "watcher")
_POLL_INTERVAL = 0.02  # seconds
_LOCK_TIMEOUT = 60.0  # seconds; longer than any command takes


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine publishes in ``engine.json``, for clients that cannot use the bus."""

    pid: int
    boot: str
    version: str
    started_at: str
    services: tuple[dict[str, Any], ...] = ()


@contextlib.contextmanager
def hold_engine_lock(paths: Paths) -> Iterator[None]:
    """Hold the lock of the engine for the life of an engine.

    Raises:
        EngineRunning: another engine holds it, or a command kept it for more than a minute.
    """
    paths.create_folders()
    with contextlib.ExitStack() as locks:
        _acquire(locks, paths, paths.engine_lock)
        yield


@contextlib.contextmanager
def hold_command_lock(paths: Paths) -> Iterator[None]:
    """Hold the locks of a command that works without an engine. Commands wait for each other, and no engine can start.

    Raises:
        EngineRunning: an engine is running, or another command kept the lock for more than a minute.
    """
    paths.create_folders()
    with contextlib.ExitStack() as locks:
        _acquire(locks, paths, paths.command_lock)
        # Shared, so that is_running() does not mistake the command for an engine.
        _acquire(locks, paths, paths.engine_lock, shared=True)
        yield


def _acquire(locks: contextlib.ExitStack, paths: Paths, path: Path, *, shared: bool = False) -> None:
    file = locks.enter_context(path.open("a+b"))
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while not file_lock.try_lock(file.fileno(), shared=shared):
        if is_running(paths):
            raise _already_running(paths)
        if time.monotonic() > deadline:
            raise EngineRunning(
                f"another keiji command has been using {paths.data} for more than {_LOCK_TIMEOUT:g} s",
                hint="try again when it has finished",
            )
        time.sleep(_POLL_INTERVAL)


def _already_running(paths: Paths) -> EngineRunning:
    info = read_info(paths)
    return EngineRunning(
        f"an engine is already running for {paths.workspace} (pid {info.pid if info else 'unknown'})",
        hint="keiji system status shows it; keiji system stop stops it",
    )


def is_running(paths: Paths) -> bool:
    """Return whether an engine is running, without waiting for it or affecting it."""
    try:
        return file_lock.is_locked(paths.engine_lock)
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # no engine of this user has created it
        return False


def read_info(paths: Paths) -> EngineInfo | None:
    """Return what the latest engine published, even if it has died since; None if the file is missing or invalid."""
    try:
        data = json.loads(paths.engine_info.read_bytes())
        return EngineInfo(data["pid"], data["boot"], data["version"], data["started_at"], tuple(data["services"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_info(paths: Paths, info: EngineInfo) -> None:
    """Replace ``engine.json`` atomically."""
    temporary = paths.engine_info.with_suffix(f".{os.getpid()}")
    temporary.write_text(
        json.dumps(
            {
                "pid": info.pid,
                "boot": info.boot,
                "version": info.version,
                "started_at": info.started_at,
                "services": list(info.services),
            }
        )
    )
    temporary.replace(paths.engine_info)


def start(paths: Paths, arguments: Sequence[str] = (), *, timeout: float = 90.0) -> int:
    """Start an engine in the background, in its own session, and return its pid when it is ready.

    Args:
        arguments: options of ``keiji-engine``.
        timeout: seconds to wait until the engine is ready.

    Raises:
        EngineRunning: an engine is already running.
        WorkspaceMissing, InvalidSettings: the workspace cannot be used; nothing is created.
        KeijiError: the engine exited or was not ready in time; the hint shows its last output.
    """
    if is_running(paths):
        raise _already_running(paths)
    workspace.validate(paths)
    paths.create_folders()
    output = paths.logs / "services" / "engine.out"
    output.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | environment_for(paths)
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "keiji_engine.main", "--quiet", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
            cwd="/",
        )
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        info = read_info(paths)
        if info is not None and info.pid == process.pid:
            # Reap the engine when it exits; otherwise it stays a zombie for the life of this process.
            threading.Thread(target=process.wait, daemon=True).start()
            return process.pid
        if process.poll() is not None:
            raise KeijiError(
                f"the engine exited during startup (exit code {process.returncode})", hint=_startup_hint(output)
            )
        time.sleep(_POLL_INTERVAL)
    raise KeijiError(
        f"the engine (pid {process.pid}) was not ready within {format_duration(timeout)}",
        hint=_startup_hint(output),
    )


def environment_for(paths: Paths) -> dict[str, str]:
    """Return the environment variables with which another process uses the same ``paths``."""
    variables = {"KEIJI_WORKSPACE": str(paths.workspace)}
    if os.environ.get("KEIJI_ROOT") or paths != Paths.from_environment(variables):
        variables["KEIJI_ROOT"] = str(paths.data)
    return variables


def send_signal(paths: Paths, signum: signal.Signals) -> int:
    """Send a signal to the engine and return its pid.

    Raises:
        EngineOffline: no engine is running.
    """
    info = read_info(paths)
    if info is None or not is_running(paths):
        raise EngineOffline(hint="keiji system start starts it")
    os.kill(info.pid, signum)
    return info.pid


def wait_for_exit(paths: Paths, timeout: float) -> bool:
    """Wait up to ``timeout`` seconds for the engine to exit; return whether it has exited."""
    deadline = time.monotonic() + timeout
    while is_running(paths):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_INTERVAL)
    return True


def _startup_hint(output: Path, lines: int = 8) -> str:
    """Return the last lines of the engine's output, or where else to look if there is none."""
    tail = "\n".join(output.read_text(errors="replace").splitlines()[-lines:])
    return tail or "keiji system logs --engine may show the cause"
