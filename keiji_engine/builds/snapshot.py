"""What a task folder holds: which files are its sources, what is in them, and a copy of them.

Only regular files count. The folder is somebody's, and anything may lie in it or change while it is read: pipes,
sockets, links that lead in a circle, files that vanish. None of them may block or break what reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from keiji.errors import BuildFailed

MOST_FILES = 5_000
MOST_BYTES = 100 * 1024 * 1024
DEEPEST = 32
_CHUNK = 1024 * 1024
# A file that was written so shortly before it was hashed may be written again within the same tick of its clock.
_RACY_NS = 2_000_000_000
_TEMPORARY_ENDINGS = ("~", ".pyc", ".pyo", ".swp", ".swx", ".swo", "___jb_tmp___", "___jb_old___")


@dataclass(frozen=True, slots=True)
class Hashed:
    """What a file was when it was hashed; the same ``mark`` later means the same ``digest``."""

    mark: tuple[int, ...]
    digest: str


Cache = MutableMapping[str, Hashed]


def is_source(name: str) -> bool:
    """Whether a file or folder of this name counts: hidden ones, bytecode and editors' temporary files do not."""
    return not (
        name.startswith(".")
        or name in {"__pycache__", "4913"}  # vim writes 4913 to see whether it may
        or name.endswith(_TEMPORARY_ENDINGS)
        or (name.startswith("#") and name.endswith("#"))
    )


def read_regular(path: Path) -> bytes:
    """Return what is in ``path``. Raises OSError, also where it is no regular file; never waits for a pipe."""
    descriptor = _open_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def fingerprint(source: Path, cache: Cache | None = None) -> dict[str, str]:
    """Return path → sha256 of each source file, with ``+x`` where it is executable.

    Args:
        source: the task's folder.
        cache: of an earlier call for this folder; files whose stat is as it was are not read again. Is brought up
            to date.

    Raises:
        BuildFailed: the folder is gone, too large, or something in it cannot be read.
    """
    cache = {} if cache is None else cache
    found: dict[str, str] = {}
    for path, status in _sources(source):
        mark = _mark(status)
        known = cache.get(path)
        if known is None or known.mark != mark:
            started = time.time_ns()
            digest = _digest(source / path, path)
            if digest is None:
                continue
            known = Hashed(mark, digest)
            if status.st_mtime_ns < started - _RACY_NS:
                cache[path] = known
            else:
                cache.pop(path, None)
        found[path] = known.digest + _suffix(status)
    for path in cache.keys() - found.keys():
        del cache[path]
    return found


def is_as_in(cache: Cache, source: Path) -> bool:
    """Return whether stat alone tells that `fingerprint` would find nothing new; False wherever it does not."""
    try:
        found = {path: _mark(status) for path, status in _sources(source)}
    except BuildFailed:
        return False
    return found.keys() == cache.keys() and all(cache[path].mark == mark for path, mark in found.items())


def copy(source: Path, target: Path) -> dict[str, str]:
    """Copy the sources into ``target``, a new folder, and return their fingerprint: of what was copied, byte for byte.

    The files come out read-only. Raises BuildFailed as `fingerprint` does.
    """
    target.mkdir()
    found: dict[str, str] = {}
    for path, status in _sources(source):
        try:
            content = read_regular(source / path)
        except FileNotFoundError:
            continue  # it was removed while we looked; a file is there or it is not
        except OSError as error:
            raise _unreadable(path, error) from error
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(0o555 if _suffix(status) else 0o444)
        found[path] = hashlib.sha256(content).hexdigest() + _suffix(status)
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    """Return the paths that were added, removed or edited between two fingerprints, sorted."""
    return tuple(sorted({path for path, _ in before.items() ^ after.items()}))


def identity(files: dict[str, str], interpreter: str, entry: str) -> str:
    """Return the name of the build that these inputs give.

    Args:
        files: fingerprint of the sources.
        interpreter: path, version and platform of the interpreter.
        entry: what the script that runs the build says.
    """
    inputs = json.dumps([1, sorted(files.items()), interpreter, entry])
    return hashlib.sha256(inputs.encode()).hexdigest()[:16]


def _sources(source: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (path below ``source``, stat) of each source file, sorted. Raises BuildFailed."""
    try:
        status = source.stat()
    except FileNotFoundError as error:
        raise BuildFailed(f"the folder {source} is gone") from error
    except OSError as error:
        raise BuildFailed(f"the folder {source} cannot be read: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise BuildFailed(f"{source} is not a folder")
    count = size = 0
    for path, found in _walk(str(source), "", ((status.st_dev, status.st_ino),)):
        count, size = count + 1, size + found.st_size
        if count > MOST_FILES:
            raise BuildFailed(f"{source.name} holds more than {MOST_FILES:,} files", hint=_KEEP_ELSEWHERE)
        if size > MOST_BYTES:
            what = f"{_shown(path)} has {found.st_size / 2**20:,.1f}"
            raise BuildFailed(f"{source.name} holds more than {MOST_BYTES >> 20} MiB: {what}", hint=_KEEP_ELSEWHERE)
        yield path, found


_KEEP_ELSEWHERE = "a build copies the whole folder: keep data, environments and downloads outside of it"


def _walk(folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, os.stat_result]]:
    if len(above) > DEEPEST:
        raise BuildFailed(f"{_shown(prefix)} lies more than {DEEPEST} folders deep", hint=_KEEP_ELSEWHERE)
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreadable(prefix or folder, error) from error
    if prefix and any(entry.name == "pyvenv.cfg" for entry in entries):
        return  # a virtual environment that somebody made beside the sources
    for entry in entries:
        if not is_source(entry.name):
            continue
        path = prefix + entry.name
        try:
            status = entry.stat()  # of what a link leads to
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(path, error) from error
        if stat.S_ISDIR(status.st_mode):
            if (status.st_dev, status.st_ino) not in above:  # else a link back to where we come from
                yield from _walk(entry.path, f"{path}/", (*above, (status.st_dev, status.st_ino)))
        elif stat.S_ISREG(status.st_mode):
            if not _is_text(path):
                raise BuildFailed(f"the name of {_shown(path)} is not UTF-8", hint="rename it")
            yield path, status


def _open_regular(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is not a regular file")
    return descriptor


def _digest(place: Path, path: str) -> str | None:
    """Return the sha256 of a file; None when it is gone."""
    digest = hashlib.sha256()
    try:
        with os.fdopen(_open_regular(place), "rb", buffering=0) as file:
            while block := file.read(_CHUNK):
                digest.update(block)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    return digest.hexdigest()


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)


def _suffix(status: os.stat_result) -> str:
    return "+x" if status.st_mode & stat.S_IXUSR else ""


def _unreadable(path: str, error: OSError) -> BuildFailed:
    return BuildFailed(f"{_shown(path)} cannot be read: {error.strerror or error}")


def _shown(path: str) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")  # a name need not be UTF-8, a message is


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
