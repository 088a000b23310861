"""Attributes of a process that only Linux has. On other systems, these functions do nothing.

The launcher imports this module, so that no shim has to load the C library.
"""

from __future__ import annotations

import ctypes
import signal
import sys

_SET_PDEATHSIG = 1
_SET_NAME = 15
_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def set_name(name: bytes) -> None:
    """Set the name that ``ps`` and ``top`` show for this process; at most 15 bytes."""
    if _prctl is not None:
        _prctl(_SET_NAME, name)


def become_subreaper() -> None:
    """Make this process the parent of its orphaned descendants."""
    if _prctl is not None:
        _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies. Children do not inherit this, but `exec` keeps it.

    The parent may have died before this call, so check `os.getppid` afterwards.
    """
    if _prctl is not None:
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
