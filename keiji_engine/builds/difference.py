"""Unified diffs between the sources of a task and those of its build, bounded in size and without secrets."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from keiji.records import FileDifference
from keiji_engine.builds.snapshot import changed_paths, read_regular_file

MAX_FILES = 200
MAX_LINES = 2000  # of the diff of one file
MAX_CHARACTERS = 200_000  # of all diffs together
MAX_FILE_SIZE = 256 * 1024
MAX_LINE_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class _Version:
    """A source file on one side of the comparison; ``digest`` is None if it does not exist there."""

    path: Path
    digest: str | None


def difference(
    build: Path, before: dict[str, str], folder: Path, after: dict[str, str]
) -> tuple[tuple[FileDifference, ...], str]:
    """Return the difference of each file that differs, and a note about omitted files ("" for none).

    Args:
        build: the sources of the build, ``before`` their hashes.
        folder: the current sources, ``after`` their hashes.
    """
    paths = changed_paths(before, after)
    differences: list[FileDifference] = []
    remaining = MAX_CHARACTERS
    for path in paths[:MAX_FILES]:
        old, new = _Version(build / path, before.get(path)), _Version(folder / path, after.get(path))
        file_difference = _compare(path, old, new, remaining)
        remaining -= sum(len(line) + 1 for line in file_difference.lines)
        differences.append(file_difference)
    omitted = len(paths) - MAX_FILES
    return tuple(differences), f"{omitted:,} more files differ" if omitted > 0 else ""


def _compare(path: str, old: _Version, new: _Version, remaining: int) -> FileDifference:
    """Return the difference between two versions of a file, in no more than about ``remaining`` characters."""
    if old.digest is None or new.digest is None:
        change = "added" if old.digest is None else "removed"
    elif old.digest.removesuffix("+x") == new.digest.removesuffix("+x"):
        note = "is now executable" if new.digest.endswith("+x") else "is no longer executable"
        return FileDifference(path=path, change="mode", note=note)
    else:
        change = "edited"
    if _may_contain_secrets(path):
        return FileDifference(path=path, change=change, note="not shown: may contain secrets")
    try:
        old_lines = _read_lines(old.path) if old.digest is not None else []
        new_lines = _read_lines(new.path) if new.digest is not None else []
    except _NotComparable as reason:
        return FileDifference(path=path, change=change, note=str(reason))
    return _diff(path, change, old_lines, new_lines, remaining)


class _NotComparable(Exception):
    """The file cannot be compared line by line; the message says why."""


def _may_contain_secrets(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith(".env") or name.endswith(".env")


def _read_lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > MAX_FILE_SIZE:
            raise _NotComparable(f"not shown: larger than {MAX_FILE_SIZE >> 10} KiB")
        content = read_regular_file(path)
    except OSError as error:
        raise _NotComparable(f"not shown: {error.strerror or error}") from error
    if b"\0" in content:
        raise _NotComparable("binary")
    try:
        return content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise _NotComparable("not valid UTF-8") from error


def _diff(path: str, change: str, old: list[str], new: list[str], remaining: int) -> FileDifference:
    if remaining <= 0:
        return FileDifference(path=path, change=change, note="not shown: the differences above reach the size limit")
    lines: list[str] = []
    note = ""
    for line in difflib.unified_diff(_mark_missing_newline(old), _mark_missing_newline(new), lineterm="", n=3):
        if line.startswith(("---", "+++")) and len(lines) == 0:
            continue
        if len(lines) >= MAX_LINES or remaining <= 0:
            note = f"only the first {len(lines):,} lines of the difference are shown"
            break
        excess = len(line) - MAX_LINE_LENGTH
        shown = line if excess <= 0 else f"{line[:MAX_LINE_LENGTH]}… {excess:,} more characters"
        lines.append(shown)
        remaining -= len(shown) + 1
    return FileDifference(path=path, change=change, lines=tuple(lines), note=note)


def _mark_missing_newline(lines: list[str]) -> list[str]:
    """Return the lines of a text, followed by diff's marker if the last line has no newline."""
    if lines[-1:] == [""]:
        return lines[:-1]
    return [*lines, "\\ no newline at end of file"] if lines else []
