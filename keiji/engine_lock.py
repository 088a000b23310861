"""The locks of an engine: who holds one, and what the holder says about itself in the file.

An engine locks ``engine.lock`` in its data folder and ``.engine.lock`` in its workspace, so that neither can be used by
two engines. The lock proves that an engine is running. The file names its process and its runtime folder; clients read
it there. What a file says is only believed of a process that is still the one that wrote it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keiji import file_lock
from keiji.errors import EngineUnreachable, KeijiError

_VERSION = 1
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Holder:
    """An engine, as it describes itself in the files that it locks.

    Args:
        pid: in the pid namespace of the engine.
        process: identifies the process together with ``pid``, which the kernel reuses; "" if the system cannot.
        namespace: the pid namespace; "" if the system has none.
        is_ready: whether the engine has started completely.
    """

    pid: int
    process: str
    namespace: str
    workspace: str
    data: str
    runtime: str
    is_ready: bool

    @classmethod
    def describe(cls, *, workspace: Path, data: Path, runtime: Path, is_ready: bool) -> Holder:
        """Describe this process."""
        pid = os.getpid()
        return cls(pid, _process(pid), _namespace(), str(workspace), str(data), str(runtime), is_ready)

    @property
    def is_alive(self) -> bool:
        """Whether the process that wrote this is alive and can be signalled from here."""
        return self.namespace == _namespace() and bool(self.process) and _process(self.pid) == self.process


def read(path: Path) -> Holder | None:
    """Return the description in a lock file, which may be left over from a killed engine; None if there is none."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.readline(_MAX_BYTES))
        return Holder(
            int(data["pid"]),
            str(data["process"]),
            str(data["namespace"]),
            str(data["workspace"]),
            str(data["data"]),
            str(data["runtime"]),
            bool(data["is_ready"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_held(path: Path) -> bool:
    """Return whether an engine holds the lock, without waiting for it or affecting it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # no engine of this user has created it
        return False
    try:
        return not file_lock.try_lock(descriptor, shared=True) and not _is_held_by_stranger(descriptor)
    finally:
        os.close(descriptor)


def find_holder(path: Path) -> Holder | None:
    """Return the engine that holds the lock; None if there is none, or if its process cannot be identified."""
    holder = read(path) if is_held(path) else None
    return holder if holder is not None and holder.is_alive else None


def find_pid(path: Path) -> int | None:
    """Return the pid of the process that holds the lock, for messages; None if it is unknown."""
    holder = read(path)
    if holder is not None and holder.is_alive:
        return holder.pid
    return next(iter(_lockers(path)), None)


def send_signal(path: Path, signum: signal.Signals, expected_pid: int | None = None) -> int:
    """Send a signal to the engine that holds the lock, and to no other process. Returns its pid.

    Args:
        expected_pid: the pid of an engine of an earlier version, which writes nothing into the lock file.

    Raises:
        EngineUnreachable: a process holds the lock, but it is not known which, or it is not an engine.
        ProcessLookupError: the engine has just exited.
    """
    holder = read(path)
    if holder is not None and holder.namespace not in ("", _namespace()):
        raise EngineUnreachable(
            f"the engine (pid {holder.pid} in another container) cannot be signalled from here",
            hint="stop it in the container in which it runs",
        )
    pid = holder.pid if holder is not None and holder.is_alive else None
    if pid is None and expected_pid in _lockers(path):
        pid, holder = expected_pid, None
    if pid is None:
        lockers = ", ".join(map(str, _lockers(path))) or "unknown"
        raise EngineUnreachable(
            f"a process holds {path} but has not identified itself as an engine (pid {lockers})",
            hint="try again if an engine is just starting; otherwise end that process yourself",
        )
    with contextlib.ExitStack() as stack:
        descriptor = _open_pidfd(pid)
        if descriptor is not None:
            stack.callback(os.close, descriptor)
        # Checked after the pidfd was opened: if it is still the same process now, the pidfd refers to it.
        if not is_held(path) or not (holder.is_alive if holder is not None else pid in _lockers(path)):
            raise ProcessLookupError(pid)
        if descriptor is not None and sys.platform == "linux":
            signal.pidfd_send_signal(descriptor, signum)
        else:
            os.kill(pid, signum)
    return pid


class LockFile:
    """A lock that this process holds until it is closed. Use `try_acquire`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptors = [descriptor]  # the last one is that of the file at ``path``
        self._description: Holder | None = None

    @classmethod
    def try_acquire(cls, path: Path, *, shared: bool = False) -> LockFile | None:
        """Lock a file, which is created with mode 0600; return None if another process of this user holds the lock.

        A lock that another user holds, because the file once was accessible to all, counts for nothing: the file is
        replaced.

        Raises:
            KeijiError: the file cannot be created or opened.
        """
        while True:
            descriptor = _open(path)
            try:
                if file_lock.try_lock(descriptor, shared=shared):
                    if _is_at(descriptor, path):
                        os.fchmod(descriptor, 0o600)
                        return cls(path, os.dup(descriptor))
                elif _is_held_by_stranger(descriptor):
                    if _is_at(descriptor, path):
                        path.unlink(missing_ok=True)
                elif _is_at(descriptor, path):
                    return None
            except OSError as error:
                raise _unusable(path, error) from error
            finally:
                os.close(descriptor)  # if locked, its duplicate keeps the lock; otherwise the file has been replaced

    @classmethod
    def try_acquire_folder(cls, path: Path, *, shared: bool = False) -> LockFile | None:
        """Lock a folder in which no file can be created. Raises OSError if the file system has no locks."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if file_lock.try_lock(descriptor, shared=shared):
            return cls(path, descriptor)
        os.close(descriptor)
        return None

    def describe(self, holder: Holder | None) -> None:
        """Replace the description in the file; None removes it. Errors are ignored: the lock is what counts."""
        self._description = holder
        data = b"" if holder is None else json.dumps({"version": _VERSION, **asdict(holder)}).encode() + b"\n"
        with contextlib.suppress(OSError):  # the disk is full, or this is a folder
            # Not a rename, which would lose the lock. A reader sees one version, or a mixture that is invalid.
            for descriptor in self._descriptors:
                os.pwrite(descriptor, data, 0)
                os.ftruncate(descriptor, len(data))

    def is_in_place(self) -> bool:
        """Return whether the file still is where other processes look for it."""
        return _is_at(self._descriptors[-1], self.path)

    def restore(self) -> bool:
        """Create and lock the file again if it was deleted; return False if another process was faster.

        A file that was moved stays locked, too: the whole folder may have been moved.

        Raises:
            KeijiError: the file cannot be created.
        """
        if self.is_in_place():
            return True
        is_folder = stat.S_ISDIR(os.fstat(self._descriptors[-1]).st_mode)
        other = LockFile.try_acquire_folder(self.path) if is_folder else LockFile.try_acquire(self.path)
        if other is None:
            return False
        self._descriptors += other._descriptors
        self.describe(self._description)
        return True

    def close(self) -> None:
        """Release the lock."""
        if self._description is not None:
            self.describe(None)
        while self._descriptors:
            os.close(self._descriptors.pop())


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> KeijiError:
    return KeijiError(
        f"cannot use {path}: {error.strerror or error}",
        hint="keiji needs a data folder that it can write to: check its permissions, or set KEIJI_ROOT to another one",
    )


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False


# ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_held_by_stranger(descriptor: int) -> bool:
    """Return whether only other users hold a lock that was refused. Root counts as ourselves."""
    status = os.fstat(descriptor)
    if not status.st_mode & 0o077:  # the usual case: they cannot open it
        return False
    owners = {_owner(pid) for pid in _lockers_of_inode(status.st_ino)}
    return bool(owners) and owners.isdisjoint({0, os.geteuid(), None})


def _lockers(path: Path) -> list[int]:
    """Return the pids of the processes that hold a lock on a file; none if the system does not list locks."""
    try:
        return _lockers_of_inode(path.stat().st_ino)
    except OSError:
        return []


def _lockers_of_inode(inode: int) -> list[int]:
    # The device is not compared: for some file systems, it differs from that of stat().
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    fields = [line.split() for line in lines if "->" not in line]  # those are waiting for the lock
    return [int(row[4]) for row in fields if row[1] == "FLOCK" and row[5].rpartition(":")[2] == str(inode)]


def _owner(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None


def _process(pid: int) -> str:
    """Return what distinguishes a process from others with the same pid: its start time; "" if it does not exist."""
    if sys.platform == "linux":
        try:
            # The name in parentheses may contain anything; field 22 counted from the start is 20th after it.
            return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
        except (OSError, IndexError):
            return ""
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _open_pidfd(pid: int) -> int | None:
    opener: Any = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        descriptor: int = opener(pid)
    except ProcessLookupError:
        raise
    except OSError:  # some containers forbid it
        return None
    return descriptor
