"""Triggers that are events: a task with one of them is due when something happens, not at an instant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from keiji.errors import InvalidSchedule
from keiji.formats import quote
from keiji.schedule.base import Occurrence, Schedule

_MAX_PATTERN = 1000


@dataclass(frozen=True)
class Event(Schedule):
    """Base class of triggers without due instants. In the place of a schedule, it is one that is never due."""

    def _occurrences_after(self, instant: datetime) -> Iterator[Occurrence]:
        return iter(())

    @property
    def has_instants(self) -> bool:
        return False

    @property
    def events(self) -> tuple[Event, ...]:
        return (self,)

    def to_dict(self) -> dict[str, Any]:
        return {"type": self.type, "context": self.context.to_dict()}


@dataclass(frozen=True)
class Manual(Event):
    """The task runs only when it is requested."""

    type: ClassVar[str] = "Manual"

    def describe(self) -> str:
        return "manual"

    def compact_form(self) -> str:
        return "manual"

    def source_form(self) -> str:
        return "manual"


@dataclass(frozen=True)
class AtStart(Event):
    """The task runs once after each start of the machine or container, as with cron's ``@reboot``."""

    type: ClassVar[str] = "AtStart"

    def describe(self) -> str:
        return "at start"

    def compact_form(self) -> str:
        return "at_start"

    def source_form(self) -> str:
        return "at_start"


@dataclass(frozen=True)
class OnChange(Event):
    """The task runs after files that match a pattern were created or changed.

    Args:
        pattern: an absolute path, or one that begins with ``~/``; ``*``, ``?`` and ``[…]`` match within a name, ``**``
            matches any number of folders. A folder stands for the files in it.

    Raises:
        InvalidSchedule: the pattern is not such a path.
    """

    type: ClassVar[str] = "OnChange"
    pattern: str

    def __post_init__(self) -> None:
        shown = f"on_change({quote(self.pattern)})"
        if not isinstance(self.pattern, str) or not self.pattern.strip():
            raise InvalidSchedule(f'{shown}: expected a path, such as on_change("/data/in/*.csv")')
        if len(self.pattern) > _MAX_PATTERN:
            raise InvalidSchedule(f"{shown[:60]}…: longer than {_MAX_PATTERN} characters")
        if not self.pattern.isprintable():
            raise InvalidSchedule(f"{shown}: contains a non-printable character")
        if not self.pattern.startswith(("/", "~/")):
            raise InvalidSchedule(f'{shown}: expected an absolute path, such as "/data/in/*.csv" or "~/in/*.csv"')
        if ".." in self.pattern.split("/"):
            raise InvalidSchedule(f'{shown}: expected a path without ".."')
        head, tail = self.pattern[:1], self.pattern[1:]
        parts = [part for part in tail.split("/") if part not in ("", ".")]
        object.__setattr__(self, "pattern", head + "/".join(parts) if head == "/" else "/".join([head, *parts]))

    def describe(self) -> str:
        needs_quotes = any(character in ";\"'" for character in self.pattern)
        return f"on change of {quoted(self.pattern) if needs_quotes else self.pattern}"

    def compact_form(self) -> str:
        return f"on_change:{self.pattern}"

    def source_form(self) -> str:
        return f"on_change({quoted(self.pattern)})"

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "pattern": self.pattern}


def quoted(text: str) -> str:
    """Return ``text`` as a Python literal in double quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
