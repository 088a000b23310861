"""Names of tasks: which are allowed, which folder each gets, and which one was probably meant."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

from keiji.errors import InvalidName, TaskExists, TaskNotFound

LONGEST_NAME = 100
LONGEST_SLUG_BYTES = 180  # a file name holds 255 bytes; logs and archives add endings of their own
_RESERVED = frozenset({"all", "none"})
_UNSHOWABLE = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
# They turn around what follows them on the line, which would then not say what it seems to.
_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def validate(name: str) -> str:
    """Return ``name`` without surrounding blanks, where it can be the name of a task.

    Spaces, quotes, brackets and letters of any script are fine.

    Raises:
        InvalidName: it is empty, too long, would leave the tasks folder, or cannot be shown on a line.
    """
    name = unicodedata.normalize("NFC", name).strip()
    if not name:
        raise InvalidName("a task needs a name", hint='such as: keiji task create ping_google --desc="pings google"')
    if len(name) > LONGEST_NAME:
        raise InvalidName(f"this name has {len(name)} characters; {LONGEST_NAME} is the most: {name[:40]!r}…")
    if "/" in name or "\\" in name:
        raise InvalidName(f"{name!r} has a slash in it; a task's name becomes the name of its folder")
    if name[0] in ".-":
        raise InvalidName(f"{name!r} begins with {name[0]!r}, which would hide its folder or read as an option")
    if any(
        unicodedata.category(letter) in _UNSHOWABLE or unicodedata.bidirectional(letter) in _TURNING for letter in name
    ):
        raise InvalidName(f"{name!r} has a control character in it, which no line can show")
    slug = slug_of(name)
    if not slug:
        raise InvalidName(f"{name!r} has no letter or digit in it, so that its folder would have no name")
    if slug in _RESERVED:
        raise InvalidName(f"{name!r} is a word of the command line; choose another name")
    if len(slug.encode()) > LONGEST_SLUG_BYTES:
        raise InvalidName(f"the folder of {name[:40]!r}… would have a name of over {LONGEST_SLUG_BYTES} bytes")
    return name


def slug_of(name: str) -> str:
    """Return the name of the task's folder, logs and link: letters, digits, ``_``, ``-`` and ``.`` of the name."""
    folded = unicodedata.normalize("NFC", name).strip()
    return re.sub(r"[^\w.-]+", "_", folded).strip("_.-")


def one_line(text: str) -> str:
    """Return a description as one line that can be shown anywhere: control characters become blanks."""
    return " ".join("".join(" " if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} else c for c in text).split())


def natural_sort_key(name: str) -> tuple[object, ...]:
    """Return a key that sorts names as people do: "job" before "job 2" before "job 10"."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), name


def check_free(name: str, slug: str, others: Iterable[tuple[str, str]]) -> None:
    """Make sure that a name leads to one task only: it must be no name and no folder of another, nor its folder a name.

    Args:
        others: (name, slug) of the other tasks.

    Raises:
        TaskExists: it would lead to two.
    """
    for other_name, other_slug in others:
        if {name, slug} & {other_name, other_slug}:
            raise TaskExists(
                f"{name!r} (in the folder {slug!r}) could be taken for the task {other_name!r} (in {other_slug!r})",
                hint="choose another name",
            )


def find(wanted: str, names: Iterable[tuple[str, str]]) -> str:
    """Return the slug of the task that ``wanted`` names, by name or by slug.

    Args:
        wanted: what the person wrote.
        names: (name, slug) of each task.

    Raises:
        TaskNotFound: none fits; the message has the nearest one.
    """
    known = list(names)
    wanted = unicodedata.normalize("NFC", wanted).strip()  # as `validate` keeps names
    for name, slug in known:
        if wanted in (name, slug):
            return slug
    by_fold = {text.casefold(): name for name, slug in known for text in (name, slug)}
    near = difflib.get_close_matches(wanted.casefold(), by_fold, n=1, cutoff=0.6)
    if near:
        raise TaskNotFound(f"there is no task {wanted!r}", hint=f"did you mean {by_fold[near[0]]!r}?")
    hint = "keiji task list shows all tasks" if known else "there are none yet: keiji task create NAME makes one"
    raise TaskNotFound(f"there is no task {wanted!r}", hint=hint)
