"""The processes of a run, found in /proc: the descendants of its shim, or those with its id in their environment.

On systems without /proc (macOS), no process is found.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_RUN_ID = b"KEIJI_RUN_ID="


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was alive when /proc was read. ``group`` is its process group, ``name`` that of its program."""

    pid: int
    parent: int
    group: int
    name: str


def descendants(root: int) -> list[Process]:
    """Return the live descendants of the process ``root``, parents before their children. Zombies are omitted."""
    found: list[Process] = []
    try:
        pids = list(_children(root))
        while pids:
            process, is_zombie = _read(pids.pop(0))
            if process is None:
                continue
            if not is_zombie:
                found.append(process)
            pids.extend(_children(process.pid))
    except NotImplementedError:
        return _descendants_by_parent(root)
    return found


def child_pids(parent: int) -> list[int]:
    """Return the pids of the children of a process, including zombies."""
    try:
        return list(_children(parent))
    except NotImplementedError:
        return [process.pid for process, _ in _all_processes() if process.parent == parent]


def send_signal(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process of `descendants`, and never to another one that has reused its pid."""
    with contextlib.suppress(OSError):  # it has ended, or has changed its user
        pidfd = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
        try:
            current, _ = _read(process.pid)
            # An orphan has another parent than before; its new parent is this process, a subreaper.
            if current is None or current.parent not in (process.parent, os.getpid()):
                return
            if pidfd is None:
                os.kill(process.pid, number)
            else:
                signal.pidfd_send_signal(pidfd, number)
        finally:
            if pidfd is not None:
                os.close(pidfd)


def kill_survivors(run_ids: Collection[str]) -> dict[int, str]:
    """Kill all processes with one of these run ids in their environment; return the run ids by pid, {} if none is left.

    Call it until it returns {}: a process may start another one at the same time, and takes a moment to end. Reads
    /proc of all processes of this user, so call it in a thread.
    """
    wanted = {_RUN_ID + run_id.encode(): run_id for run_id in run_ids}
    survivors: dict[int, str] = {}
    for process, is_zombie in _all_processes() if wanted else ():
        if is_zombie or process.pid == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            pidfd = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
            try:
                environment = (_PROC / str(process.pid) / "environ").read_bytes().split(b"\0")
                run_id = next((wanted[variable] for variable in environment if variable in wanted), None)
                if run_id is None:
                    continue
                survivors[process.pid] = run_id
                if pidfd is None:
                    os.kill(process.pid, signal.SIGKILL)
                else:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            finally:
                if pidfd is not None:
                    os.close(pidfd)
    return survivors


def _children(pid: int) -> Iterator[int]:
    """Yield the children of all threads of a process.

    Raises:
        NotImplementedError: the kernel does not list children (it has no CONFIG_PROC_CHILDREN).
    """
    threads = f"/proc/{pid}/task"
    try:
        names = os.listdir(threads)  # noqa: PTH208
    except OSError:
        return  # it has ended, or the system has no /proc
    for name in names:
        try:
            with open(f"{threads}/{name}/children", "rb", buffering=0) as file:  # noqa: PTH123  # twice as fast
                yield from map(int, file.read().split())
        except FileNotFoundError:
            if os.path.exists(f"{threads}/{name}"):  # noqa: PTH110
                raise NotImplementedError from None
        except ProcessLookupError:
            continue  # the thread has ended


def _descendants_by_parent(root: int) -> list[Process]:
    children: dict[int, list[tuple[Process, bool]]] = {}
    for process, is_zombie in _all_processes():
        children.setdefault(process.parent, []).append((process, is_zombie))
    found: list[Process] = []
    remaining = children.get(root, [])
    while remaining:
        process, is_zombie = remaining.pop(0)
        if not is_zombie:
            found.append(process)
        remaining.extend(children.get(process.pid, ()))
    return found


def _all_processes() -> Iterator[tuple[Process, bool]]:
    try:
        pids = [int(name) for name in os.listdir(_PROC) if name.isdecimal()]  # noqa: PTH208
    except FileNotFoundError:
        return
    for pid in pids:
        process, is_zombie = _read(pid)
        if process is not None:
            yield process, is_zombie


def _read(pid: int) -> tuple[Process | None, bool]:
    """Return a process, and whether it is a zombie; None if it has ended."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None, False
    start, end = stat.index(b"("), stat.rindex(b")")  # the name may contain any character
    state, parent, group = stat[end + 1 :].split()[:3]
    name = stat[start + 1 : end].decode("utf-8", "replace")
    return Process(pid, int(parent), int(group), name), state in (b"Z", b"X")
