"""The sources in a task folder: which files belong to them, their hashes, and copies.

Only regular files are sources. A task folder belongs to its author: it may contain pipes, sockets and cyclic links, and
files may vanish or grow while they are read. None of these may block or break the reader.

A link is judged by its target, which has to be in the workspace and has to be a source itself: a build must contain no
secrets, such as those of ``.env``, and nothing that other users can change.
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

MAX_FILES = 5_000
MAX_BYTES = 100 * 1024 * 1024
MAX_DEPTH = 32
_SIZE_HINT = "a build copies the whole folder: keep data, environments and downloads outside it"
_CHUNK = 1024 * 1024
# A file modified this recently may be modified again without a change of its timestamp, which has a limited resolution.
_RACY_NS = 2_000_000_000
_TEMPORARY_SUFFIXES = ("~", ".pyc", ".pyo", ".swp", ".swx", ".swo", "___jb_tmp___", "___jb_old___")


@dataclass(frozen=True, slots=True)
class CachedDigest:
    """The digest of a file, valid as long as its ``stat_key`` (times, size, inode) is the same."""

    stat_key: tuple[int, ...]
    digest: str


DigestCache = MutableMapping[str, CachedDigest]


def is_source(name: str) -> bool:
    """Return whether a file or folder with this name is a source: not hidden, not bytecode, not temporary."""
    return not (
        name.startswith(".")
        or name in {"__pycache__", "4913"}  # vim creates 4913 to test whether the folder is writable
        or name.endswith(_TEMPORARY_SUFFIXES)
        or (name.startswith("#") and name.endswith("#"))
    )


def read_regular_file(path: Path) -> bytes:
    """Return the content of ``path``. Raises OSError, also if it is not a regular file; never blocks on a pipe."""
    return b"".join(_read_chunks(path))


def _read_chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a regular file. Raises OSError if there is too much, since the file may have no end."""
    size = 0
    with os.fdopen(_open_regular_file(path), "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > MAX_BYTES:
                raise OSError(f"it has more than {MAX_BYTES >> 20} MiB")
            yield chunk


def hash_sources(source: Path, cache: DigestCache | None = None) -> dict[str, str]:
    """Return path → sha256 of each source file, followed by ``+x`` if the file is executable.

    Args:
        source: the task's folder.
        cache: digests from an earlier call for this folder; files with an unchanged stat are not read again. The
            cache is updated.

    Raises:
        BuildFailed: the folder is missing or too large, or a file in it cannot be read.
    """
    cache = {} if cache is None else cache
    hashes: dict[str, str] = {}
    for path, status in _sources(source):
        stat_key = _stat_key(status)
        cached = cache.get(path)
        if cached is None or cached.stat_key != stat_key:
            started = time.time_ns()
            digest = _digest(source / path, path)
            if digest is None:
                continue
            cached = CachedDigest(stat_key, digest)
            if status.st_mtime_ns < started - _RACY_NS:
                cache[path] = cached
            else:
                cache.pop(path, None)
        hashes[path] = cached.digest + _mode_suffix(status)
    for path in cache.keys() - hashes.keys():
        del cache[path]
    return hashes


def is_unchanged(source: Path, cache: DigestCache) -> bool:
    """Return whether the stat of each source file matches ``cache``; False also if the folder cannot be read."""
    try:
        stat_keys = {path: _stat_key(status) for path, status in _sources(source)}
    except BuildFailed:
        return False
    return stat_keys.keys() == cache.keys() and all(cache[path].stat_key == key for path, key in stat_keys.items())


def copy_sources(source: Path, target: Path) -> dict[str, str]:
    """Copy the sources to ``target``, a new folder, and return the hashes of the copied content.

    The copies are read-only. Raises BuildFailed like `hash_sources`.
    """
    target.mkdir()
    hashes: dict[str, str] = {}
    for path, status in _sources(source):
        try:
            content = read_regular_file(source / path)
        except FileNotFoundError:
            continue  # removed since the folder was listed
        except OSError as error:
            raise _unreadable(path, error) from error
        copy = target / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
        copy.chmod(0o555 if _mode_suffix(status) else 0o444)
        hashes[path] = hashlib.sha256(content).hexdigest() + _mode_suffix(status)
    return hashes


def changed_paths(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    """Return the sorted paths that were added, removed or edited between two results of `hash_sources`."""
    return tuple(sorted({path for path, _ in before.items() ^ after.items()}))


def build_hash(files: dict[str, str], interpreter: str, entry: str) -> str:
    """Return the hash that identifies the build of these inputs.

    Args:
        files: the hashes of the sources.
        interpreter: path, version and platform of the interpreter.
        entry: text of the script that runs the build.
    """
    inputs = json.dumps([2, sorted(files.items()), interpreter, entry])
    return hashlib.sha256(inputs.encode()).hexdigest()[:16]


def _sources(source: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (path relative to ``source``, stat) of each source file, sorted. Raises BuildFailed."""
    try:
        status = source.stat()
    except FileNotFoundError as error:
        raise BuildFailed(f"the folder {source} does not exist") from error
    except OSError as error:
        raise BuildFailed(f"the folder {source} cannot be read: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise BuildFailed(f"{source} is not a folder")
    file_count = total_size = 0
    roots = (source.resolve(), source.parent.parent.resolve())
    for path, file_status in _walk(str(source), "", ((status.st_dev, status.st_ino),), roots):
        file_count, total_size = file_count + 1, total_size + file_status.st_size
        if file_count > MAX_FILES:
            raise BuildFailed(f"{source.name} contains more than {MAX_FILES:,} files", hint=_SIZE_HINT)
        if total_size > MAX_BYTES:
            culprit = f"{_printable(path)} has {file_status.st_size / 2**20:,.1f} MiB"
            raise BuildFailed(f"{source.name} contains more than {MAX_BYTES >> 20} MiB: {culprit}", hint=_SIZE_HINT)
        yield path, file_status


def _walk(
    folder: str, prefix: str, ancestors: tuple[tuple[int, int], ...], roots: tuple[Path, ...]
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the source files of ``folder`` recursively, each path starting with ``prefix``.

    Args:
        ancestors: device and inode of ``folder`` and the folders above it, to detect cyclic links.
        roots: the folders in which the targets of links have to be: the task's folder and the workspace.
    """
    if len(ancestors) > MAX_DEPTH:
        raise BuildFailed(f"{_printable(prefix)} is nested more than {MAX_DEPTH} folders deep", hint=_SIZE_HINT)
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreadable(prefix or folder, error) from error
    if prefix and any(entry.name == "pyvenv.cfg" for entry in entries):
        return  # a virtual environment
    for entry in entries:
        if not is_source(entry.name):
            continue
        path = prefix + entry.name
        status = _stat(entry, path, roots)
        if status is None:
            continue
        if stat.S_ISDIR(status.st_mode):
            if (status.st_dev, status.st_ino) not in ancestors:
                yield from _walk(entry.path, f"{path}/", (*ancestors, (status.st_dev, status.st_ino)), roots)
        elif stat.S_ISREG(status.st_mode):
            if not _is_utf8(path):
                raise BuildFailed(f"the name of {_printable(path)} is not valid UTF-8", hint="rename the file")
            yield path, status


def _stat(entry: os.DirEntry[str], path: str, roots: tuple[Path, ...]) -> os.stat_result | None:
    """Return the stat of an entry, or of its target if it is a link; None if it does not exist."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    if entry.is_symlink():
        _check_target(path, Path(os.path.realpath(entry.path)), roots)
    return status


def _check_target(path: str, target: Path, roots: tuple[Path, ...]) -> None:
    """Raise BuildFailed if the link ``path`` may not be followed to its target."""
    link = f"{_printable(path)} is a link to {_printable(str(target))}"
    root = next((root for root in roots if target.is_relative_to(root)), None)
    if root is None:
        raise BuildFailed(f"{link}, which is outside the workspace", hint="copy what the task needs into the workspace")
    if not all(is_source(part) for part in target.relative_to(root).parts):
        hint = "a build contains no hidden files, such as .env; the variables of .env are in os.environ"
        raise BuildFailed(f"{link}, which is not a source file", hint=hint)


def _open_regular_file(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is not a regular file")
    return descriptor


def _digest(file_path: Path, path: str) -> str | None:
    """Return the sha256 of a file, or None if it no longer exists. ``path`` is its name in error messages."""
    digest = hashlib.sha256()
    try:
        for chunk in _read_chunks(file_path):
            digest.update(chunk)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    return digest.hexdigest()


def _stat_key(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)


def _mode_suffix(status: os.stat_result) -> str:
    return "+x" if status.st_mode & stat.S_IXUSR else ""


def _unreadable(path: str, error: OSError) -> BuildFailed:
    return BuildFailed(f"{_printable(path)} cannot be read: {error.strerror or error}")


def _printable(path: str) -> str:
    """Return ``path`` with bytes that are not UTF-8 escaped, since messages must be UTF-8."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
