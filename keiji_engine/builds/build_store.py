"""Builds on the disk: made aside, put into place whole, linked to, collected. At no instant is there half of one."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keiji.records import Build

_HASH = re.compile(r"[0-9a-f]{16}")
_ASIDE = (".tmp-", ".old-")
# A build that somebody just made, or asked for again, may not have been recorded yet.
_SPARED_SECONDS = 600.0


@contextmanager
def draft(builds: Path) -> Iterator[Path]:
    """Make a folder in ``builds`` to build in, and remove what is left of it afterwards.

    It is locked as long as we live, which is how `collect` tells it from what a killed process left.
    """
    builds.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_ASIDE[0], dir=builds))
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if folder.exists():  # else it was collected between the two
            break
        os.close(descriptor)
    try:
        yield folder
    finally:
        discard(folder)
        os.close(descriptor)


def put_into_place(folder: Path, final: Path) -> bool:
    """Move the finished ``folder`` to ``final``, surviving a power cut; False when there is a build already."""
    _sync(folder)
    try:
        folder.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        return False
    final.chmod(0o555)  # not before: moving a folder to another parent is a write to it
    _sync_one(final.parent)
    return True


def touch(folder: Path) -> None:
    """Note that the build in ``folder`` was asked for just now."""
    os.utime(folder)


def set_aside(folder: Path) -> Path:
    """Rename a build out of the way, so that it is gone at once, and return what it is called now."""
    aside = folder.with_name(f"{_ASIDE[1]}{folder.name}-{secrets.token_hex(4)}")
    folder.rename(aside)
    return aside


def discard(folder: Path) -> None:
    """Remove a folder and all in it, read-only or not. What cannot be removed is left for the next `collect`."""
    for place, _, _ in os.walk(folder):
        with suppress(OSError):
            os.chmod(place, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def collect(builds: Path, keep: Collection[str], *, spare: float = _SPARED_SECONDS) -> list[str]:
    """Remove builds that are not in ``keep``, and what killed processes left; return the hashes that are gone.

    Args:
        keep: hashes that a task or a live run refers to.
        spare: builds that were made or asked for within so many seconds stay, too.
    """
    removed = []
    for folder in sorted(builds.iterdir()) if builds.is_dir() else ():
        if folder.name.startswith(_ASIDE):
            _discard_abandoned(folder)
        elif _HASH.fullmatch(folder.name) and folder.name not in keep:
            with suppress(FileNotFoundError):  # somebody else collects, too
                if time.time() - folder.stat().st_mtime >= spare:
                    discard(set_aside(folder))
                    removed.append(folder.name)
    return removed


def remove(builds: Path, hashes: Collection[str]) -> None:
    """Remove builds at once. They must be in nobody's use any more."""
    for name in hashes:
        with suppress(FileNotFoundError):
            discard(set_aside(builds / name))


def _discard_abandoned(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return  # gone by now, or nothing that we made
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        discard(folder)
    except BlockingIOError:
        return  # somebody builds in it
    finally:
        os.close(descriptor)


def link(place: Path, build: Build) -> None:
    """Let ``place`` lead to the launcher of ``build``; whoever opens it finds the old one or the new one."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = place.with_name(f".{secrets.token_hex(8)}")
    fresh.symlink_to(Path(build.command[-2]).with_name("task"))
    try:
        fresh.replace(place)
    except OSError:
        fresh.unlink()
        raise


def _sync(folder: Path) -> None:
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            _sync_one(Path(place, name))
        _sync_one(Path(place))


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
