"""The machine: tells one boot from another, and one start of a container from another."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

_LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FIRST_PROCESS = Path("/proc/1/stat")
_START_TIME = 19  # its position among the fields after the name of the process, see proc(5)


@functools.cache
def boot_id() -> str:
    """Return an id that changes whenever the machine boots; "" if the system has none.

    A container has the boot id of its host.
    """
    if sys.platform == "darwin":
        return _macos_boot_id()
    try:
        return _LINUX_BOOT_ID.read_text().strip()
    except OSError:
        return ""


def start_id() -> str:
    """Return an id that changes whenever the machine boots or the container starts; "" if the system has none.

    A container has the boot id of its host; its starts differ in the start time of its first process.
    """
    boot = boot_id()
    try:
        started = _FIRST_PROCESS.read_text().rpartition(")")[2].split()[_START_TIME]
    except (OSError, IndexError):  # not Linux, or the processes of other users are hidden
        started = ""
    return f"{boot}/{started}" if boot else ""


def has_rebooted_since(boot: str | None) -> bool:
    """Return whether ``boot`` is the id of an earlier boot; False if either id is unknown."""
    return bool(boot) and boot != boot_id() != ""


def _macos_boot_id() -> str:
    import ctypes  # deferred: takes 5 ms

    name, size = b"kern.bootsessionuuid", ctypes.c_size_t(64)
    value = ctypes.create_string_buffer(size.value)
    failed = ctypes.CDLL(None).sysctlbyname(name, value, ctypes.byref(size), None, ctypes.c_size_t(0))
    return "" if failed else value.value.decode()
