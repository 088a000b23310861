"""The engine as a process: checks whether it is running, and starts, signals and awaits it, without the bus.

A running engine holds an exclusive lock on ``engine.lock``, in which it names its process and its runtime folder. The
lock decides whether an engine is running; the pid in ``engine.json`` may belong to an engine that has died. See
`keiji.engine_lock`.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from keiji import engine_lock, private, workspace
from keiji.engine_lock import Holder, LockFile
from keiji.errors import EngineOffline, EngineRunning, EngineUnreachable, KeijiError
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
    is_detached: bool = True  # False for an engine that systemd, a container or a shell has started


class EngineLock:
    """The locks of the engine in this process, on the data folder and on the workspace.

    Attributes:
        paths: with the runtime folder that the engine uses.
    """

    def __init__(self, paths: Paths, locks: Sequence[LockFile]) -> None:
        self.paths = paths
        self._locks = locks
        self._is_ready = False
        self._describe()

    def _describe(self) -> None:
        holder = Holder.describe(
            workspace=self.paths.workspace, data=self.paths.data, runtime=self.paths.runtime, is_ready=self._is_ready
        )
        for lock in self._locks:
            lock.describe(holder)

    def set_ready(self) -> None:
        """Record that the engine has started completely."""
        self._is_ready = True
        self._describe()

    def is_in_place(self) -> bool:
        """Return whether the runtime folder and the files of the locks are where clients look for them."""
        return self.paths.runtime.is_dir() and all(lock.is_in_place() for lock in self._restorable())

    def _restorable(self) -> list[LockFile]:
        return [lock for lock in self._locks if lock.path.parent.is_dir()]  # a workspace may be removed altogether

    def restore(self) -> None:
        """Create what `is_in_place` misses again. ``paths`` may change, if another user has taken the old name.

        Raises:
            EngineRunning: another engine has locked a file that had been deleted.
            KeijiError: a folder or file cannot be created. The data folder is never created again.
        """
        if not self.paths.data.is_dir():
            raise KeijiError(f"the data folder {self.paths.data} was deleted or moved")
        for lock in self._restorable():
            if not lock.restore():
                if engine_lock.is_held(lock.path):
                    raise EngineRunning(f"{lock.path} was deleted, and another engine has locked a new one")
                raise KeijiError(f"a command is using {lock.path}")  # for a moment
        paths = self.paths.with_runtime_folder()
        if paths != self.paths:
            self.paths = paths
            self._describe()


@contextlib.contextmanager
def hold_engine_lock(paths: Paths) -> Iterator[EngineLock]:
    """Hold the locks of the engine for the life of an engine.

    Raises:
        EngineRunning: another engine uses the data folder or the workspace, or a command kept the lock for more than a
            minute.
        KeijiError: a folder or file cannot be created, or belongs to another user.
    """
    paths.create_folders()
    with contextlib.ExitStack() as stack:
        locks = [_acquire(stack, paths, paths.engine_lock, LockFile.try_acquire)]
        last = engine_lock.read(paths.engine_lock)
        if paths.workspace.is_dir():
            locks.append(_acquire(stack, paths, paths.workspace_lock, _try_workspace_lock))
        lock = EngineLock(paths.with_runtime_folder(Path(last.runtime) if last is not None else None), locks)
        yield lock
        if not lock.paths.runtime.is_relative_to(paths.data):
            with contextlib.suppress(OSError):  # it contains files of other processes
                lock.paths.runtime.rmdir()


@contextlib.contextmanager
def hold_command_lock(paths: Paths) -> Iterator[None]:
    """Hold the locks of a command that works without an engine. Commands wait for each other, and no engine can start.

    Raises:
        EngineRunning: an engine is running, or another command kept the lock for more than a minute.
        KeijiError: a folder or file cannot be created, or belongs to another user.
    """
    paths.create_folders()
    with contextlib.ExitStack() as stack:
        _acquire(stack, paths, paths.command_lock, LockFile.try_acquire)
        # Shared, so that is_running() does not mistake the command for an engine.
        _acquire(stack, paths, paths.engine_lock, lambda path: LockFile.try_acquire(path, shared=True))
        require_free_workspace(paths)
        yield


def _try_workspace_lock(path: Path) -> LockFile | None:
    try:
        return LockFile.try_acquire(path)
    except KeijiError:  # the workspace is read-only, for example a volume of a container
        try:
            return LockFile.try_acquire_folder(path.parent)
        except OSError as error:
            raise KeijiError(f"cannot lock {path.parent}: {error.strerror}") from error


def _acquire(
    stack: contextlib.ExitStack, paths: Paths, path: Path, try_acquire: Callable[[Path], LockFile | None]
) -> LockFile:
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while (lock := try_acquire(path)) is None:
        require_free_workspace(paths)
        # This process holds the engine's lock by the time it locks the workspace.
        if is_running(paths) if path != paths.workspace_lock else _is_read_only_and_held(paths.workspace):
            raise _already_running(paths)
        if time.monotonic() > deadline:
            raise EngineRunning(
                f"another keiji process has been using {path.parent} for more than {_LOCK_TIMEOUT:g}s",
                hint="try again when it has finished",
            )
        time.sleep(_POLL_INTERVAL)
    stack.callback(lock.close)
    return lock


def _is_read_only_and_held(workspace: Path) -> bool:
    """Return whether an engine had to lock the folder itself. A lock of another program on the folder is no engine."""
    return not os.access(workspace, os.W_OK) and engine_lock.is_held(workspace)


def require_free_workspace(paths: Paths) -> None:
    """Refuse a workspace that is used by an engine with another data folder.

    Raises:
        EngineRunning: the error names the other engine's pid and data folder.
    """
    if not engine_lock.is_held(paths.workspace_lock) and not _is_read_only_and_held(paths.workspace):
        return
    holder = engine_lock.read(paths.workspace_lock)
    if holder is not None and holder.data == str(paths.data):
        return
    if holder is None and is_running(paths):  # the engine is just starting, or cannot write to the workspace
        return
    data = holder.data if holder is not None else "another folder"
    pid = engine_lock.find_pid(paths.workspace_lock) or engine_lock.find_pid(paths.workspace)
    raise EngineRunning(
        f"an engine is already running for {paths.workspace} (pid {pid or 'unknown'}), with "
        f"its data in {data} instead of {paths.data}",
        hint="use the same KEIJI_ROOT, KEIJI_WORKSPACE, HOME and XDG_DATA_HOME as that engine, or stop it first",
    )


def _already_running(paths: Paths) -> EngineRunning:
    pid = engine_lock.find_pid(paths.workspace) or find_pid(paths)
    return EngineRunning(
        f"an engine is already running for {paths.workspace} (pid {pid or 'unknown'})",
        hint="keiji system status shows it; keiji system stop stops it",
    )


def is_running(paths: Paths) -> bool:
    """Return whether an engine is running, without waiting for it or affecting it."""
    return engine_lock.is_held(paths.engine_lock)


def find_pid(paths: Paths) -> int | None:
    """Return the pid of the running engine; None if no engine is running, or if its process is unknown."""
    return engine_lock.find_pid(paths.engine_lock) if is_running(paths) else None


def locate(paths: Paths) -> Paths:
    """Return the paths of the running engine, whose runtime folder may differ; ``paths`` if no engine is running."""
    holder = engine_lock.read(paths.engine_lock) if is_running(paths) else None
    return replace(paths, runtime=Path(holder.runtime)) if holder is not None else paths


def last_runtime_folder(paths: Paths) -> Path:
    """Return the runtime folder of the running engine, or the one that a killed engine has left behind."""
    holder = engine_lock.read(paths.engine_lock)
    return Path(holder.runtime) if holder is not None else paths.runtime


def is_ready(paths: Paths) -> bool:
    """Return whether an engine is running and has started completely."""
    holder = engine_lock.find_holder(paths.engine_lock)
    return holder is not None and holder.is_ready


def find_unreachable(paths: Paths) -> EngineUnreachable | None:
    """Return the error for an engine that is running but has no files with which clients could reach it.

    None if no engine is running, or if its files are there, whether it answers or not.
    """
    if not is_running(paths):
        return None
    holder, info = engine_lock.read(paths.engine_lock), read_info(paths)
    if holder is not None and holder.is_alive and not holder.is_ready:
        return EngineUnreachable.with_pid(holder.pid, "it is still starting")
    actual = locate(paths)
    if info is None or (holder is not None and info.pid != holder.pid):
        missing = actual.engine_info
    elif _is_bus_online(info) and not actual.control_socket.exists():
        missing = actual.control_socket
    else:
        return None
    return EngineUnreachable.with_pid(find_pid(paths), f"it cannot be reached: {missing} is missing")


def _is_bus_online(info: EngineInfo) -> bool:
    return any(service["name"] == "bus" and service["status"] == "online" for service in info.services)


def read_info(paths: Paths) -> EngineInfo | None:
    """Return what the latest engine published, even if it has died since; None if the file is missing or invalid."""
    try:
        data = json.loads(locate(paths).engine_info.read_bytes())
        return EngineInfo(
            data["pid"],
            data["boot"],
            data["version"],
            data["started_at"],
            tuple(data["services"]),
            bool(data.get("is_detached", True)),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_info(paths: Paths, info: EngineInfo) -> None:
    """Replace ``engine.json`` atomically."""
    temporary = paths.engine_info.with_suffix(f".{os.getpid()}")
    with private.private_umask():
        temporary.write_text(json.dumps(asdict(info)))
    temporary.replace(paths.engine_info)


def _open_output(path: Path) -> BinaryIO:
    try:
        with private.private_umask():
            return path.open("wb")
    except OSError as error:
        hint = "check its permissions, or set KEIJI_ROOT to a folder that you can write to"
        raise KeijiError(f"cannot write {path}: {error.strerror}", hint=hint) from error


def remove_info(paths: Paths) -> None:
    """Remove ``engine.json`` unless another engine has replaced it."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads(paths.engine_info.read_bytes())["pid"] == os.getpid():
            paths.engine_info.unlink()


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
    require_free_workspace(paths)
    workspace.validate(paths)
    paths.create_folders()
    output = paths.logs / "services" / "engine.out"
    environment = os.environ | environment_for(paths)
    with _open_output(output) as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "keiji_engine.main", "--quiet", "--detached", *arguments],
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
    if os.environ.get("KEIJI_ROOT") or not paths.has_same_state(Paths.from_environment(variables)):
        variables["KEIJI_ROOT"] = str(paths.data)
    return variables


def send_signal(paths: Paths, signum: signal.Signals) -> int:
    """Send a signal to the engine, and to no other process. Returns its pid.

    Raises:
        EngineOffline: no engine is running.
        EngineUnreachable: a process holds the lock, but it is not known to be an engine.
    """
    if not is_running(paths):
        raise EngineOffline(hint="keiji system start starts it")
    info = read_info(paths)
    try:
        return engine_lock.send_signal(paths.engine_lock, signum, info.pid if info is not None else None)
    except ProcessLookupError as error:
        raise EngineOffline("the engine has just exited", hint="keiji system start starts it") from error


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
