"""Task names: validation, the slug of each name, and lookup with suggestions for misspelled names."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

from keiji.errors import InvalidName, TaskExists, TaskNotFound

MAX_NAME_LENGTH = 100
MAX_SLUG_BYTES = 180  # a file name is limited to 255 bytes; logs and archives add suffixes
_RESERVED = frozenset({"all", "none"})
_NON_PRINTABLE = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
# Bidirectional controls reorder the rest of the line, so that it would display misleading text.
_BIDI_CONTROLS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def validate(name: str) -> str:
    """Return ``name`` normalized (NFC) and stripped of surrounding whitespace.

    Spaces, quotes, brackets and letters of any script are allowed.

    Raises:
        InvalidName: the name is empty, too long, reserved, unsafe as a folder name, or not printable on one line.
    """
    name = unicodedata.normalize("NFC", name).strip()
    if not name:
        raise InvalidName(
            "the task name is empty", hint='for example: keiji task create ping_google --desc="pings google"'
        )
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidName(f"the name {name[:40]!r}… has {len(name)} characters; at most {MAX_NAME_LENGTH} are allowed")
    if "/" in name or "\\" in name:
        raise InvalidName(f"{name!r} contains a slash; the name of a task is also the name of its folder")
    if name[0] in ".-":
        raise InvalidName(
            f"{name!r} starts with {name[0]!r}: its folder would be hidden, or the name mistaken for an option"
        )
    if any(
        unicodedata.category(char) in _NON_PRINTABLE or unicodedata.bidirectional(char) in _BIDI_CONTROLS
        for char in name
    ):
        raise InvalidName(f"{name!r} contains a control character")
    slug = slug_of(name)
    if not slug:
        raise InvalidName(f"{name!r} contains no letter or digit, so its folder would have no name")
    if slug in _RESERVED:
        raise InvalidName(f"{name!r} is reserved by the command line; choose another name")
    if len(slug.encode()) > MAX_SLUG_BYTES:
        raise InvalidName(
            f"the folder name of {name[:40]!r}… would exceed {MAX_SLUG_BYTES} bytes; choose a shorter name"
        )
    return name


def slug_of(name: str) -> str:
    """Return the file name of a task's folder, logs and link: its letters, digits, ``_``, ``-`` and ``.``."""
    normalized = unicodedata.normalize("NFC", name).strip()
    return re.sub(r"[^\w.-]+", "_", normalized).strip("_.-")


def one_line(text: str) -> str:
    """Return ``text`` as one printable line: control characters become spaces, and runs of whitespace one space."""
    return " ".join("".join(" " if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} else c for c in text).split())


def natural_sort_key(name: str) -> tuple[object, ...]:
    """Return a key for natural sort order: "job" before "job 2" before "job 10"."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), name


def ensure_unique(name: str, slug: str, others: Iterable[tuple[str, str]]) -> None:
    """Ensure that neither ``name`` nor ``slug`` is the name or slug of another task, so that lookups are unambiguous.

    Args:
        others: (name, slug) of the other tasks.

    Raises:
        TaskExists: another task has the same name or slug.
    """
    for other_name, other_slug in others:
        if {name, slug} & {other_name, other_slug}:
            raise TaskExists(
                f"{name!r} (folder {slug!r}) conflicts with the task {other_name!r} (folder {other_slug!r})",
                hint="choose another name",
            )


def find_slug(query: str, tasks: Iterable[tuple[str, str]]) -> str:
    """Return the slug of the task whose name or slug is ``query``.

    Args:
        query: a name or slug, as typed.
        tasks: (name, slug) of each task.

    Raises:
        TaskNotFound: no task matches; the hint names the closest match.
    """
    known = list(tasks)
    query = unicodedata.normalize("NFC", query).strip()  # the form in which `validate` returns names
    for name, slug in known:
        if query in (name, slug):
            return slug
    names_by_casefold = {text.casefold(): name for name, slug in known for text in (name, slug)}
    matches = difflib.get_close_matches(query.casefold(), names_by_casefold, n=1, cutoff=0.6)
    if matches:
        raise TaskNotFound.named(query, hint=f"did you mean {names_by_casefold[matches[0]]!r}?")
    hint = "keiji task list shows all tasks" if known else "no tasks yet; keiji task create NAME creates one"
    raise TaskNotFound.named(query, hint=hint)
