"""Writes tasks as a crontab, with comments on what cron cannot express."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import time

from keiji.crontab.read import DEFAULT_PATH, DEFAULT_SHELL, REBOOT, InvalidLine, check_schedule, join_stdin
from keiji.names import one_line
from keiji.policy import Policy
from keiji.schedule import Cron, DayTime, Interval, Once, Schedule
from keiji.schedule.daytime import DAYS
from keiji.schedule.event import AtStart, Manual
from keiji.schedule.several import Several

_VARIABLES_OF_CRON = ("SHELL", "PATH", "HOME")
_DIVISORS = {"minutes": 60, "hours": 24}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedTask:
    """A task that becomes lines of a crontab.

    Args:
        line: the shell line.
        shell: the program that executes it; "" if it does not matter.
        cwd: working folder; "~" for the home folder.
        creates_cwd: whether to create that folder if it is missing.
        policy: what the task itself sets.
        inactive: why the task does not run on its schedule now; "" if it does.
        notes: what else cron does differently.
    """

    name: str
    schedule: Schedule
    line: str
    description: str = ""
    shell: str = DEFAULT_SHELL
    cwd: str = "~"
    creates_cwd: bool = False
    stdin: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    inactive: str = ""
    notes: tuple[str, ...] = ()


class Inexpressible(ValueError):
    """Cron cannot express a schedule or a command; the message says why."""


def format_crontab(tasks: Iterable[ExportedTask], zone: str) -> str:
    """Return the tasks as a crontab. What cron cannot express is a comment, with the reason.

    Args:
        zone: the time zone of the workspace.
    """
    lines = [
        f"# Tasks of keiji; times are in {zone}.",
        "# Unlike keiji, cron starts a job while the previous one is live, and catches up nothing after downtime.",
    ]
    current = {"SHELL": DEFAULT_SHELL, "PATH": DEFAULT_PATH, "HOME": "", "CRON_TZ": zone}
    for task in tasks:
        lines += ["", f"# {one_line(f'{task.name}: {task.description}' if task.description else task.name)}"]
        lines += (f"#   {one_line(note)}" for note in _differences(task))
        try:
            command = _command(task)
        except Inexpressible as error:
            lines.append(f"#   not exported: {error}")
            continue
        jobs: list[str] = []
        for schedule in task.schedule.schedules if isinstance(task.schedule, Several) else (task.schedule,):
            try:
                jobs += (f"{fields} {command}" for fields in cron_lines(schedule))
            except Inexpressible as error:
                lines.append(f"#   not exported: {one_line(schedule.describe())}: {error}")
        if task.inactive:
            lines.append(f"#   commented out, because {task.inactive}")
            lines += (f"# {job}" for job in jobs)
        elif jobs:
            for name, value in _assignments(task, zone).items():
                if current[name] != value and (value or name != "HOME"):
                    lines.append(f'{name}="{value}"' if value.strip() != value or not value else f"{name}={value}")
                    current[name] = value
            lines += jobs
    return "\n".join(lines) + "\n"


def cron_lines(schedule: Schedule) -> list[str]:
    """Return the lines, without command, that have the instants of a schedule. Raises Inexpressible."""
    if isinstance(schedule, AtStart):
        return [REBOOT]
    if isinstance(schedule, Cron):
        return [_cron_fields(schedule.expression)]
    if isinstance(schedule, DayTime):
        return list(_day_time_lines(schedule))
    if isinstance(schedule, Interval):
        return [_interval_fields(schedule)]
    if isinstance(schedule, Once):
        raise Inexpressible("cron cannot run a job once; use at")
    if isinstance(schedule, Manual):
        raise Inexpressible("it has no schedule")
    raise Inexpressible("cron has no such event")


def _cron_fields(expression: str) -> str:
    if expression.startswith("@"):
        return expression.lower()
    fields = expression.split()
    if len(fields) == 6:
        if fields[0] != "0":
            raise Inexpressible("cron has no field for seconds")
        fields = fields[1:]
    try:
        check_schedule(" ".join(fields))
    except InvalidLine as error:
        raise Inexpressible(str(error)) from error
    return " ".join(fields)


def _day_time_lines(schedule: DayTime) -> Iterator[str]:
    if any(each.second for each in schedule.times):
        raise Inexpressible("cron has no seconds")
    numbers = sorted((DAYS.index(day) + 1) % 7 for day in schedule.days)
    days = "*" if len(numbers) == 7 else ",".join(map(str, numbers))
    hours: dict[int, list[time]] = {}
    for each in schedule.times:
        hours.setdefault(each.minute, []).append(each)
    for minute, times in hours.items():
        yield f"{minute} {','.join(str(each.hour) for each in times)} * * {days}"


def _interval_fields(schedule: Interval) -> str:
    """Return fields with the same interval, counted from the full hour or from midnight instead of the start."""
    number, units = schedule.interval, schedule.units
    if number == 1 and units in ("minutes", "hours", "days"):
        return {"minutes": "* * * * *", "hours": "0 * * * *", "days": "0 0 * * *"}[units]
    if units in _DIVISORS and _DIVISORS[units] % number == 0 and number < _DIVISORS[units]:
        return f"*/{number} * * * *" if units == "minutes" else f"0 */{number} * * *"
    raise Inexpressible("cron counts no intervals from a starting point")


def _command(task: ExportedTask) -> str:
    """Return the command with everything that cron has no other place for. Raises Inexpressible."""
    home = task.environment.get("HOME", "")
    before = [
        f"export {name}={shlex.quote(value)};"
        for name, value in task.environment.items()
        if name not in _VARIABLES_OF_CRON
    ]
    if task.cwd not in ("~", home):
        folder = f"~/{shlex.quote(task.cwd[2:])}" if task.cwd.startswith("~/") else shlex.quote(task.cwd)
        before += [f"mkdir -p {folder} &&"] if task.creates_cwd else []
        before.append(f"cd {folder} &&")
    line = " ".join([*before, task.line])
    try:
        return join_stdin(line, task.stdin)
    except ValueError as error:
        raise Inexpressible(f"its command cannot be written on one line: {error}") from error


def _assignments(task: ExportedTask, zone: str) -> dict[str, str]:
    return {
        "SHELL": task.shell,
        "PATH": task.environment.get("PATH", DEFAULT_PATH),
        "HOME": task.environment.get("HOME", ""),
        "CRON_TZ": task.policy.tz or zone,
    }


def _differences(task: ExportedTask) -> Iterator[str]:
    """Yield what cron does not do, or does differently."""
    given = sorted(task.policy.given - {"tz"})
    if given:
        yield f"cron has no {', '.join(given)}"
    if task.policy.tz:
        yield "not every cron knows CRON_TZ"
    schedules = task.schedule.schedules if isinstance(task.schedule, Several) else (task.schedule,)
    for each in schedules:
        if isinstance(each, Interval) and (each.units in _DIVISORS or each.units == "days"):
            yield f"{each.describe()}: cron counts from the full hour or from midnight, keiji from the start"
    if len(schedules) > 1:
        yield "an instant of several of its schedules would run it several times"
    yield from task.notes
