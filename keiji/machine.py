"""The machine: tells one boot from another."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

_LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


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


def has_rebooted_since(boot: str | None) -> bool:
    """Return whether ``boot`` is the id of an earlier boot; False if either id is unknown."""
    return bool(boot) and boot != boot_id() != ""


def _macos_boot_id() -> str:
    import ctypes  # deferred: takes 5 ms

    name, size = b"kern.bootsessionuuid", ctypes.c_size_t(64)
    value = ctypes.create_string_buffer(size.value)
    failed = ctypes.CDLL(None).sysctlbyname(name, value, ctypes.byref(size), None, ctypes.c_size_t(0))
    return "" if failed else value.value.decode()
