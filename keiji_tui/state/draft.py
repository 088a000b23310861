"""The form for a new task: its fields, the preview of its schedule, and its errors. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import islice
from zoneinfo import ZoneInfo

from keiji import names
from keiji.errors import InvalidPolicy, InvalidSchedule, KeijiError
from keiji.formats import format_moment, zone_of
from keiji.policy import Policy
from keiji.policy_text import policy_of
from keiji.schedule.daytime import DAYS
from keiji.schedule.natural import parse_natural
from keiji.schedule.parse import parse_schedule
from keiji_engine.bus.protocol import Create
from keiji_engine.bus.views import DueInstant, TaskView
from keiji_tui.text.commands import SENDER

_DEFAULT_POLICY = Policy()
_QUOTED = re.compile(r"""'[^']*'|"(?:\\.|[^"\\$`])*"|\\.""")
_SHELL_SYNTAX = re.compile(r"[|&;<>()$`*?]|(?:^|\s)~|^\w+=")
PREVIEW_COUNT = 5  # instants
_ENGLISH_HINT = "write every 10 minutes, every day at 22:00, Fridays at 22:00, or a crontab line: */5 * * * *"
_DAY = re.compile(rf"(?:(?:every|on) )?\b({'|'.join(DAYS)})\b")
_TIME = re.compile(r"(\d{1,2})(?:[:.h](\d\d))? ?([ap]m)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Draft:
    """The fields of the form as typed."""

    name: str = ""
    description: str = ""
    command: str = ""
    schedule: str = "every(10).minutes"
    policy: str = ""

    @property
    def schedule_source(self) -> str:
        """The schedule as the engine stores it: as typed for a command task or if invalid, or a Python expression."""
        typed = self.schedule.strip()
        if self.command.strip():
            return typed
        try:
            return typed if _is_python(typed) else parse_schedule(typed).source_form()
        except InvalidSchedule:
            return typed

    def directive(self) -> Create:
        """Return the directive that creates the task."""
        needs_shell = is_shell_line(self.command)
        return Create(
            name=self.name.strip(),
            description=self.description.strip(),
            schedule=self.schedule_source,
            command=() if needs_shell else tuple(shlex.split(self.command)),
            shell=self.command.strip() if needs_shell else "",
            policy=self.policy.strip(),
            sender=SENDER,
        )


@dataclass(frozen=True, slots=True)
class Preview:
    """The meaning of a schedule.

    Args:
        description: the schedule in English.
        interpreted_as: the Python expression for a schedule typed in English; otherwise "".
        instants: the next due instants.
        error: why there are none, with a hint.
    """

    description: str = ""
    interpreted_as: str = ""
    instants: tuple[DueInstant, ...] = ()
    error: str = ""


def preview(schedule: str, now: datetime, zone: ZoneInfo, policy: Policy = _DEFAULT_POLICY) -> Preview:
    """Return the meaning of a schedule for a task that is created ``now``. The policy may set another time zone."""
    try:
        parsed = parse_schedule(schedule)
        anchored = parsed.with_context(policy.schedule_context(anchor=now, zone=zone.key))
        instants = tuple(
            DueInstant(task="", at=each.at, starts_at=each.at, note=each.note, is_skipped=each.is_skipped)
            for each in islice(anchored.preview(now), PREVIEW_COUNT)
        )
    except InvalidSchedule as error:
        return Preview(error=_invalid_schedule_error(schedule.strip(), error))
    source = parsed.source_form()
    expression = source if source != schedule.strip() and not _is_python(schedule) else ""
    if not instants and parsed.has_instants:
        return Preview(parsed.describe(), expression, error=_past_schedule_error(now, zone_of(policy.tz or "", zone)))
    return Preview(parsed.describe(), expression, instants)


def _is_python(schedule: str) -> bool:
    return "(" in schedule  # neither English nor a crontab line


def _invalid_schedule_error(text: str, error: InvalidSchedule) -> str:
    """Return why ``text`` is not a schedule, with a suggestion if its meaning can be guessed."""
    suggestion = suggest_schedule(text)
    if suggestion:
        return f"did you mean “{suggestion}”?"
    if isinstance(error.__cause__, SyntaxError) and "(" not in text:  # the reason would be about Python
        return f"{text!r} is not a valid schedule\n{_ENGLISH_HINT}"
    return "\n".join(filter(None, (error.message, error.hint)))


def suggest_schedule(text: str) -> str:
    """Return the schedule that incomplete English such as "22:00" or "5 minutes" probably means; "" if unclear."""
    phrase = _DAY.sub(r"\1s", " ".join(text.lower().split())).removeprefix("at ")
    time = _clock_time(phrase)
    for candidate in [f"every day at {time}"] if time else [f"every {phrase}", phrase, f"{phrase} at 00:00"]:
        try:
            schedule = parse_natural(candidate)
        except InvalidSchedule:
            continue
        if schedule is not None:
            return schedule.describe()
    return ""


def _clock_time(text: str) -> str:
    """Return a time of day such as "10pm" or "22.00" in the form "22:00"; "" if ``text`` is not one."""
    match = _TIME.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return ""
    hour = int(match[1])
    if match[3]:
        if not 1 <= hour <= 12:
            return ""
        hour = hour % 12 + (12 if match[3] == "pm" else 0)
    return f"{hour:02}:{match[2] or '00'}"


def _past_schedule_error(now: datetime, zone: tzinfo) -> str:
    """Return the error of a schedule whose only instant is in the past; this is possible with `once` only."""
    today = now.astimezone(zone)
    example = f'once("{today + timedelta(days=1):%Y-%m-%d %H:%M}")'
    return (
        f"the schedule is never due again\nit is {format_moment(now, zone)} now; write a later time, such as {example}"
    )


def name_error(name: str, tasks: Iterable[TaskView]) -> str:
    """Return why ``name`` is not valid for a new task; "" if it is."""
    try:
        slug = names.slug_of(names.validate(name))
        names.ensure_unique(name.strip(), slug, [(task.name, task.slug) for task in tasks])
    except KeijiError as error:
        return error.message
    return ""


def is_shell_line(command: str) -> bool:
    """Return whether a command as typed needs a shell: a pipe, a redirection, a variable or a pattern, unquoted."""
    return bool(_SHELL_SYNTAX.search(_QUOTED.sub("x", command.strip())))


def command_error(command: str) -> str:
    """Return why ``command`` cannot be executed; "" if it can, or if it is empty."""
    if is_shell_line(command):
        return ""
    try:
        words = shlex.split(command)
    except ValueError:
        return "the command ends with a backslash, or a quotation mark in it is not closed"
    return "the command is empty" if words and not words[0].strip() else ""


def policy_error(policy: str) -> str:
    """Return why ``policy`` is not valid, with a hint; "" if it is."""
    try:
        policy_of(policy)
    except InvalidPolicy as error:
        return "\n".join(filter(None, (error.message, error.hint)))
    return ""
