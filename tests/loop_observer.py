"""Observes an engine: which calls on the thread of its event loop may block.

These are calls of functions written in C that use the disk, take a file lock, sleep, start a process or look up a user.
Operations on sockets and pipes are not among them: all of them are non-blocking.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, FrameType
from typing import Any

_OS = {
    "access", "chdir", "chmod", "chown", "copy_file_range", "fchmod", "fchown", "fdatasync", "fork", "fsync",
    "ftruncate", "getxattr", "link", "listdir", "lockf", "lstat", "mkdir", "mkfifo", "open", "posix_spawn",
    "pread", "pwrite", "readlink", "remove", "rename", "replace", "rmdir", "scandir", "sendfile", "setxattr",
    "stat", "statvfs", "symlink", "sync", "system", "truncate", "unlink", "utime", "wait", "wait3", "wait4",
}  # fmt: skip
_OTHERS = {
    ("_io", "open"), ("io", "open"), ("builtins", "open"), ("_io", "open_code"), ("io", "open_code"),
    ("fcntl", "flock"), ("fcntl", "lockf"), ("time", "sleep"), ("pwd", "getpwuid"), ("pwd", "getpwnam"),
    ("_socket", "getaddrinfo"), ("_posixsubprocess", "fork_exec"), ("_sqlite3", "connect"), ("sqlite3", "connect"),
}  # fmt: skip
_LOOP = "asyncio.base_events.BaseEventLoop.run_forever"
# The clock of the tests is in a file, and the debug mode of asyncio reads sources.
_IGNORED = ("engine_fork.Clock.", "linecache.")


@dataclass(frozen=True)
class BlockingCall:
    """A call that may block, and the functions of keiji that lead to it, innermost first."""

    function: str
    stack: tuple[str, ...]


def observe(report: Path) -> Callable[[], None]:
    """Return what makes a new process append the blocking calls of its main thread to ``report`` after SIGUSR2."""
    return partial(_prepare, str(report))


def blocking_calls(report: Path) -> set[BlockingCall]:
    """Return what the observed process has reported."""
    lines = report.read_text().splitlines() if report.exists() else []
    return {BlockingCall(function, tuple(stack)) for function, stack in map(json.loads, lines)}


def _prepare(report: str) -> None:
    descriptor = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    reported: set[tuple[str, tuple[str, ...]]] = set()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and _may_block(argument):
            calls = _calls(frame)
            call = (
                f"{argument.__module__}.{argument.__name__}",
                tuple(name for name in calls if name.startswith("keiji")),
            )
            is_ignored = _LOOP not in calls or any(name.startswith(_IGNORED) for name in calls)
            if call not in reported and not is_ignored:
                reported.add(call)
                os.write(descriptor, json.dumps(call).encode() + b"\n")

    signal.signal(signal.SIGUSR2, lambda _number, _frame: sys.setprofile(profile))


def _may_block(function: BuiltinFunctionType) -> bool:
    module, name = function.__module__, function.__name__
    return (module == "posix" and name in _OS) or (module, name) in _OTHERS


def _calls(frame: FrameType | None) -> list[str]:
    """Return the names of the functions that are being executed, innermost first."""
    calls = []
    while frame is not None:
        calls.append(f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return calls
