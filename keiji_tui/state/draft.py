"""A task that is being thought up: what was typed, what it would mean, and what is wrong with it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from keiji import names
from keiji.errors import InvalidSchedule, KeijiError
from keiji.formats import format_moment
from keiji.schedule import ScheduleContext
from keiji.schedule.natural import parse_natural
from keiji.schedule.parse import parse_schedule
from keiji_engine.bus.protocol import Create
from keiji_engine.bus.views import DueInstant, TaskView
from keiji_tui.actions.requests import SENDER

PREVIEW_COUNT = 5  # instants


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody has typed so far."""

    name: str = ""
    description: str = ""
    schedule: str = "every(10).minutes"

    @property
    def schedule_source(self) -> str:
        """The schedule as a schedule.py has it, also where it was typed in words; as it was typed where it is wrong."""
        try:
            spoken = parse_natural(self.schedule.strip())
        except InvalidSchedule:
            spoken = None
        return spoken.source_form() if spoken is not None else self.schedule.strip()

    def directive(self) -> Create:
        """Return what makes the task."""
        return Create(
            name=self.name.strip(),
            description=self.description.strip(),
            schedule=self.schedule_source,
            sender=SENDER,
        )

    def command(self) -> str:
        """Return the command that does the same."""
        words = ["keiji", "task", "create", shlex.quote(self.name.strip())]
        if self.description.strip():
            words.append(f"--desc={shlex.quote(self.description.strip())}")
        return " ".join([*words, f"--schedule={shlex.quote(self.schedule_source)}"])


@dataclass(frozen=True, slots=True)
class Preview:
    """What a schedule means.

    Args:
        description: the schedule in words.
        interpreted_as: how what was typed is taken, where that is not how a schedule.py has it.
        instants: the next ones.
        error: why there are none, and a hint.
    """

    description: str = ""
    interpreted_as: str = ""
    instants: tuple[DueInstant, ...] = ()
    error: str = ""


def preview(schedule: str, now: datetime, zone: ZoneInfo) -> Preview:
    """Return what a schedule means for a task that is made ``now``."""
    try:
        read = parse_schedule(schedule)
        is_spoken = parse_natural(schedule.strip()) is not None
        placed = read.with_context(ScheduleContext(anchor=now, zone=zone.key))
        found = tuple(
            DueInstant(task="", at=each.at, starts_at=each.at, note=each.note, is_skipped=each.is_skipped)
            for each in islice(placed.preview(now), PREVIEW_COUNT)
        )
    except InvalidSchedule as error:
        return Preview(error="\n".join(filter(None, (error.message, error.hint))))
    taken = read.source_form() if is_spoken else ""
    if not found:
        return Preview(read.describe(), taken, error=_past_schedule_error(now, zone))
    return Preview(read.describe(), taken, found)


def _past_schedule_error(now: datetime, zone: ZoneInfo) -> str:
    """Return what is said of a schedule that is over; of all there are, only `once` can be."""
    today = now.astimezone(zone)
    such = f'once("{today + timedelta(days=1):%Y-%m-%d %H:%M}")'
    return (
        "refused: it is never due from now on\n"
        f"it is {format_moment(now, zone)} now: write a moment to come, such as {such}"
    )


def name_error(name: str, tasks: Iterable[TaskView]) -> str:
    """Return why there cannot be a new task of that name; "" where there can."""
    try:
        slug = names.slug_of(names.validate(name))
        names.ensure_unique(name.strip(), slug, [(task.name, task.slug) for task in tasks])
    except KeijiError as error:
        return error.message
    return ""


def with_field(draft: Draft, field: str, text: str) -> Draft:
    """Return a draft of which one field has another text."""
    return replace(draft, **{field: text})
