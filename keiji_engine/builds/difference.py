"""How the sources of a task differ from those of a build, as lines for people. What may be a secret is not shown."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from keiji_engine.builds.snapshot import changed, read_regular

MOST_FILES = 200
MOST_LINES = 2000  # of a file's differences
MOST_LETTERS = 200_000  # of all of them
LARGEST_FILE = 256 * 1024
LONGEST_LINE = 1000


@dataclass(frozen=True, slots=True)
class FileDifference:
    """How a file differs: "added", "removed", "edited" or "mode"; ``note`` says why its lines are not all there."""

    path: str
    change: str
    lines: tuple[str, ...] = ()
    note: str = ""


def difference(
    build: Path, before: dict[str, str], folder: Path, after: dict[str, str]
) -> tuple[tuple[FileDifference, ...], str]:
    """Return how each file differs that does, and what is left out of that, "" for nothing.

    Args:
        build: the sources of the build, ``before`` their fingerprint.
        folder: the sources as they are, ``after`` their fingerprint.
    """
    paths = changed(before, after)
    found: list[FileDifference] = []
    room = MOST_LETTERS
    for path in paths[:MOST_FILES]:
        one = _of(path, (build, before.get(path)), (folder, after.get(path)), room)
        room -= sum(len(line) + 1 for line in one.lines)
        found.append(one)
    left = len(paths) - MOST_FILES
    return tuple(found), f"{left:,} more files differ" if left > 0 else ""


def _of(path: str, one: tuple[Path, str | None], other: tuple[Path, str | None], room: int) -> FileDifference:
    (build, before), (folder, after) = one, other
    if before is None or after is None:
        change = "added" if before is None else "removed"
    else:
        change = "mode" if before.removesuffix("+x") == after.removesuffix("+x") else "edited"
    if change == "mode":
        assert after is not None
        word = "is executable now" if after.endswith("+x") else "is not executable any more"
        return FileDifference(path=path, change=change, note=word)
    if _may_hold_secrets(path):
        return FileDifference(path=path, change=change, note="not shown: it may hold secrets")
    try:
        old = _text(build / path) if before is not None else []
        new = _text(folder / path) if after is not None else []
    except _NotShown as reason:
        return FileDifference(path=path, change=change, note=str(reason))
    return _lines(path, change, old, new, room)


class _NotShown(Exception):
    """A file has no lines that could be compared here."""


def _may_hold_secrets(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith(".env") or name.endswith(".env")


def _text(path: Path) -> list[str]:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise _NotShown(f"not shown: it has more than {LARGEST_FILE >> 10} KiB")
        content = read_regular(path)
    except OSError as error:
        raise _NotShown(f"not shown: {error.strerror or error}") from error
    if b"\0" in content:
        raise _NotShown("binary")
    try:
        return content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise _NotShown("not text in UTF-8") from error


def _lines(path: str, change: str, old: list[str], new: list[str], room: int) -> FileDifference:
    if room <= 0:
        return FileDifference(path=path, change=change, note="not shown: there is enough above already")
    lines: list[str] = []
    note = ""
    for line in difflib.unified_diff(_ended(old), _ended(new), lineterm="", n=3):
        if line.startswith(("---", "+++")) and len(lines) == 0:
            continue
        if len(lines) >= MOST_LINES or room <= 0:
            note = f"only the first {len(lines):,} lines of the difference are shown"
            break
        shown = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}… {len(line) - LONGEST_LINE:,} more"
        lines.append(shown)
        room -= len(shown) + 1
    return FileDifference(path=path, change=change, lines=tuple(lines), note=note)


def _ended(lines: list[str]) -> list[str]:
    """Return the lines of a text; one whose last line has no end says so, as diff does."""
    if lines[-1:] == [""]:
        return lines[:-1]
    return [*lines, "\\ no newline at the end of the file"] if lines else []
