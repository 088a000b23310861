"""The files that match patterns of `on_change`, and the folders that they are in."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

MAX_FILES = 10_000  # that match the patterns of one task
_MAX_ENTRIES = 10 * MAX_FILES  # that match, including folders
_WILDCARDS = frozenset("*?[")

Files = Mapping[str, str]  # path → what changes with the file


class TooManyFiles(Exception):
    """More than `MAX_FILES` files match the patterns of a task."""


class Folder(NamedTuple):
    """A folder to watch: its path, with or without the folders below it."""

    path: str
    is_recursive: bool


def scan(patterns: Iterable[str], limit: int = MAX_FILES) -> dict[str, str]:
    """Return the files that match the patterns, each with its modification time, size and inode.

    Raises:
        TooManyFiles: there are more than ``limit``, or very many folders.
    """
    files: dict[str, str] = {}
    paths = chain.from_iterable(glob.iglob(_expanded(pattern), recursive=True) for pattern in patterns)  # noqa: PTH207 - Path.glob needs a root
    for number, path in enumerate(paths):
        try:
            status = os.stat(path)  # noqa: PTH116 - there may be thousands
        except OSError:
            continue  # removed since it was found, or a broken link
        if stat.S_ISREG(status.st_mode):
            files[path] = f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"
        if len(files) > limit or number > _MAX_ENTRIES:
            raise TooManyFiles
    return files


def _path(pattern: str) -> Path:
    return Path(os.path.expanduser(pattern))  # noqa: PTH111 - Path.expanduser fails without a home folder


def _expanded(pattern: str) -> str:
    """Return a pattern with ``~`` expanded; a folder stands for the files in it. A path that exists is no pattern."""
    path = _path(pattern)
    if path.is_dir():
        return f"{glob.escape(str(path))}/*"
    return glob.escape(str(path)) if path.exists() else str(path)


def folder_of(pattern: str) -> Folder:
    """Return the folder to watch for a pattern: the part of its path before the first wildcard."""
    path = _path(pattern)
    if path.is_dir():
        return Folder(str(path), False)
    if path.exists():
        return Folder(str(path.parent), False)
    *parents, _ = path.parts
    fixed = []
    for part in parents:
        if _WILDCARDS & set(part):
            break
        fixed.append(part)
    return Folder(str(Path(*fixed)), len(fixed) < len(parents))
