"""Output as text: progress lines, task details, tables, sizes, directory trees."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keiji.formats import format_duration, format_measurement, format_moment, zone_of
from keiji.parameters import signature
from keiji.reasons import describe_result, render
from keiji_cli.table import UNLIMITED, Column, Width, format_table

if TYPE_CHECKING:
    from keiji.records import Pause, Run
    from keiji_engine.bus.views import DueInstant, TaskView


SEPARATOR = "=" * 100
_MAX_UNREGISTERED = 5
_SERVICES_TITLE = "======== SERVICES ========"


def print_warning(text: str) -> None:
    """Print a warning to standard error."""
    click.echo(f"warning: {text}", err=True)


def print_progress(*lines: str) -> None:
    """Print each line with a timestamp, except empty lines and indented lines, which continue the line above."""
    timestamp = f"{datetime.now():%Y/%m/%d %H:%M:%S}"
    for line in lines:
        click.echo(line if line[:1] in {"", " "} else f"{timestamp} {line}")


def format_time(value: datetime | None, zone: tzinfo) -> str:
    """Return a time in ``zone``, or "N/A" for None."""
    return f"{value.astimezone(zone):%Y-%m-%d %H:%M:%S %z}" if value else "N/A"


def format_task_model(task: TaskView, zone: tzinfo) -> str:
    """Return the fields of a task, one per line."""
    fields: dict[str, Any] = {
        "ID": task.id,
        "TaskId": task.task_id,
        "Name": task.name,
        "Description": task.description,
        "Schedule": task.schedule,
        "LastExecutionTime": format_time(task.last_execution_time, zone),
        "NextExecutionTime": _format_next_execution(task, zone),
        "LogPath": task.log_path,
        "Slug": task.slug,
        "Type": task.type,
        "Executable": task.executable,
        "IsRunning": task.is_running,
        "IsQueued": task.is_queued,
        "IsError": task.is_error,
        "IsDisabled": task.is_disabled,
        "ErrorTxt": render(task.error, zone),
    }
    return "\n".join(["TaskModel:", *(f"{name}: {_format_value(value)}" for name, value in fields.items())])


def _format_next_execution(task: TaskView, zone: tzinfo) -> str:
    """Return the next due instant of a task, or what it waits for: "at start"."""
    if task.next_execution_time is None and not task.is_disabled:
        return task.next_event or format_time(None, zone)
    return format_time(task.next_execution_time, zone)


def format_task_details(task: TaskView, zone: tzinfo) -> str:
    """Return the details that the task model lacks, one per line; details that do not apply are omitted."""
    details = {
        "Command": task.command,
        "Parameters": signature(task.slug, task.parameters) if task.parameters else "",
        "Tags": ", ".join(task.tags),
        "Runs": task.schedule_description,
        "Zone": f"{task.zone}, {'from keiji.toml' if 'tz' in task.defaults else 'its own'}" if task.zone else "",
        "Policy": task.policy,
        "From keiji.toml": ", ".join(task.defaults),
        "Paused": _format_pause(task.pause, zone),
        "Held": _format_hold(task, zone),
        "Sources": task.source_path,
        "Build": task.build or f"none yet: keiji task build {task.slug} creates one",
        "Pinned": f"the build is kept until keiji task unpin {task.slug}" if task.is_pinned else "",
        "Rolled back": _format_rollback(task),
        "Running since": format_moment(task.running_since, zone) if task.running_since else "",
        "Running with": format_params(task.params),
        "Last run with": format_params(task.recent[-1].params) if task.recent else "",
        "Next retry": format_moment(task.retry_at, zone) if task.retry_at else "",
        "Waiting": render(task.waiting, zone),
        "Sources differ from the build": ", ".join(task.source_changes),
        "Sources cannot be built": task.source_error,
    }
    return "\n".join(f"{name}: {value}" for name, value in details.items() if value)


def _format_rollback(task: TaskView) -> str:
    if not task.rolled_back_from:
        return ""
    return f"from build {task.rolled_back_from}; keiji task build {task.slug} builds the sources again"


def format_params(params: Mapping[str, object]) -> str:
    """Return the parameters of a run as they are typed: "day=2026-11-01 name='two words'"."""
    return " ".join(_quote_word(f"{name}={value}") for name, value in params.items())


def _quote_word(word: str) -> str:
    """Quote a word for a shell, on one line and without control characters."""
    if word.isprintable():
        return shlex.quote(word)
    return "$" + repr(word) if "'" not in word else "$'" + repr(word + '"')[1:-2] + "'"


def _format_pause(pause: Pause | None, zone: tzinfo) -> str:
    if pause is None:
        return ""
    by = f" by {pause.by}" if pause.by else ""
    return f"since {format_moment(pause.since, zone)}{by}" + (f": {pause.reason}" if pause.reason else "")


def _format_hold(task: TaskView, zone: tzinfo) -> str:
    if task.held_since is None:
        return ""
    failures = "1 failure" if task.failures == 1 else f"{task.failures} consecutive failures"
    since = format_moment(task.held_since, zone)
    return f"since {since}, after {failures}: keiji task resolve {task.slug} releases it"


def format_system_pause(pause: Pause, zone: tzinfo) -> str:
    """Return the lines that show the pause of the system."""
    return f"all tasks paused {_format_pause(pause, zone)}\nkeiji system resume resumes them"


def _format_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_RUN_COLUMNS = (
    Column("DUE"), Column("STARTED", rank=3), Column("TRIGGER", rank=4), Column("STATE"), Column("DURATION"),
    Column("ATTEMPT", rank=5), Column("RUN", rank=6), Column("REASON", min_width=32),
)  # fmt: skip
_PARAMS_COLUMN = Column("PARAMETERS", rank=1, min_width=16)


def format_runs_table(runs: Sequence[Run], zone: tzinfo, width: Width = UNLIMITED) -> str:
    """Return a table with one row per run: when it was due and started, trigger, result, duration, reason.

    A manual run is due when it is requested, unless it covers another time. The parameters are a column if there are
    any.
    """
    due_zone, due = _format_times([_due_of(run).astimezone(zone) for run in runs])
    start_zone, started = _format_times([run.started_at and run.started_at.astimezone(zone) for run in runs])
    rows: list[tuple[str, ...]] = [
        (
            due[index],
            started[index],
            run.trigger,
            run.state.upper(),
            format_measurement(run.seconds) if run.seconds is not None else "",
            str(run.attempt),
            run.run_id,
            _format_reason(run, zone),
        )
        for index, run in enumerate(runs)
    ]
    columns: tuple[Column, ...] = (
        _RUN_COLUMNS[0]._replace(title=f"DUE{due_zone}"),
        _RUN_COLUMNS[1]._replace(title=f"STARTED{start_zone}"),
        *_RUN_COLUMNS[2:],
    )
    if any(run.params for run in runs):
        columns = (*columns[:-1], _PARAMS_COLUMN, columns[-1])
        rows = [(*row[:-1], format_params(run.params), row[-1]) for row, run in zip(rows, runs, strict=True)]
    return format_table(columns, rows, width)


def _due_of(run: Run) -> datetime:
    due = run.overrides.due if run.overrides is not None else None
    return run.scheduled_for or due or run.created_at


def _format_times(local: Sequence[datetime | None]) -> tuple[str, list[str]]:
    """Return local times for a column of a table, and their time zone for its header, such as " (EAT)".

    If the times have different abbreviations, as those around a daylight saving transition or of tasks with their own
    time zones do, each shows its own and the header shows none. A missing time is "".
    """
    abbreviations = {value.tzname() for value in local if value is not None}
    if len(abbreviations) > 1:
        return "", [f"{value:%Y-%m-%d %H:%M:%S %Z}" if value is not None else "" for value in local]
    suffix = f" ({abbreviations.pop()})" if abbreviations else ""
    return suffix, [f"{value:%Y-%m-%d %H:%M:%S}" if value is not None else "" for value in local]


def _format_reason(run: Run, zone: tzinfo) -> str:
    text = render(run.reason, zone)
    if run.scheduled_until is None:
        return text
    until = format_moment(run.scheduled_until, zone)
    return f"{run.count} occurrences until {until}: {text}"


def format_upcoming_table(instants: Sequence[DueInstant], zone: tzinfo, now: datetime, width: Width = UNLIMITED) -> str:
    """Return a table with one row per due instant: its time, the time until then, a note."""
    due_zone, due = _format_times([instant.at.astimezone(zone) for instant in instants])
    rows = [
        (
            f"{instant.at.astimezone(zone):%a}",
            due[index],
            "" if instant.is_skipped else _format_relative((instant.at - now).total_seconds()),
            instant.note,
        )
        for index, instant in enumerate(instants)
    ]
    columns = (Column("DAY"), Column(f"DUE{due_zone}"), Column("FROM NOW", rank=1), Column("NOTE", min_width=20))
    return format_table(columns, rows, width)


def _format_relative(seconds: float) -> str:
    return (
        f"in {format_duration(seconds, decimals=0)}" if seconds >= 0 else f"{format_duration(-seconds, decimals=0)} ago"
    )


def format_unregistered(folders: Sequence[str]) -> str:
    """Return the line about folders under ``tasks/`` that are not tasks yet."""
    shown = ", ".join(folders[:_MAX_UNREGISTERED])
    more = f" and {len(folders) - _MAX_UNREGISTERED} more" if len(folders) > _MAX_UNREGISTERED else ""
    command = f"keiji task build {shlex.quote(folders[0])} adds it" if len(folders) == 1 else "keiji apply adds them"
    return f"new in tasks/: {shown}{more}; {command}"


def format_services_table(services: Iterable[tuple[str, str]]) -> str:
    """Return the table of service names and statuses."""
    rows = [("NAME", "STATUS"), *((name, status.upper()) for name, status in services)]
    return "\n".join([_SERVICES_TITLE, *(f"{name:<18} {status:<18}" for name, status in rows), _SERVICES_TITLE])


def format_tasks_table(
    tasks: Sequence[TaskView],
    zone: tzinfo,
    now: datetime,
    *,
    is_online: bool,
    is_paused: bool,
    width: Width = UNLIMITED,
) -> str:
    """Return a table with one row per task.

    Args:
        is_online: whether an engine is running.
        is_paused: whether all tasks are paused.
    """
    states = [_task_state(task, is_online=is_online, is_paused=is_paused) for task in tasks]
    zones = [zone_of(task.zone, zone) for task in tasks]
    next_zone, due = _format_times(
        [task.next_execution_time and task.next_execution_time.astimezone(zones[n]) for n, task in enumerate(tasks)]
    )
    rows = [
        (
            task.name,
            states[index],
            _format_next(task, due[index], now) if _will_run(task, states[index], is_paused=is_paused) else "-",
            task.schedule_description,
            _last_result(task, zones[index]),
        )
        for index, task in enumerate(tasks)
    ]
    columns = (
        Column("NAME", min_width=16),
        Column("STATE"),
        Column(f"NEXT{next_zone}"),
        Column("SCHEDULE", rank=2, min_width=16),
        Column("LAST", rank=1, min_width=16),
    )
    return format_table(columns, rows, width)


def _task_state(task: TaskView, *, is_online: bool, is_paused: bool) -> str:
    if task.is_disabled:
        return "disabled"
    if task.is_running:
        return "running"
    if not task.build:
        return "not built"
    if task.held_since is not None:
        return "held"
    if task.pause is not None or is_paused:
        return "paused"
    if not is_online:
        return "engine offline"
    if task.retry_at is not None:
        return "retrying"
    if task.is_queued:
        return "queued"
    return "failing" if task.is_error else "waiting"


def _will_run(task: TaskView, state: str, *, is_paused: bool) -> bool:
    """Return whether nothing keeps a task from running when it is due."""
    # A live run says nothing about the next one.
    return not (state in {"disabled", "not built", "held", "paused"} or is_paused or task.pause is not None)


def _format_next(task: TaskView, due: str, now: datetime) -> str:
    """Return when or on what event a task runs next; "-" if that is nothing, or has passed."""
    if task.next_execution_time is None:
        return task.next_event or "-"
    return due if task.next_execution_time > now else "-"


def _last_result(task: TaskView, zone: tzinfo) -> str:
    if not task.recent:
        return ""
    run = task.recent[-1]
    return describe_result(run.state, run.reason, zone)


def format_size(size: int) -> str:
    """Return a number of bytes in the largest unit that fits."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    exponent = min(int(math.log(max(size, 1), 1024)), len(units) - 1)
    return f"{size / 1024**exponent:.{1 if exponent else 0}f} {units[exponent]}"


def format_tree(root: Path, is_hidden: Callable[[Path], bool]) -> str:
    """Return a directory and its contents as a tree, omitting paths for which ``is_hidden`` is true."""
    return "\n".join([str(root), *_format_branches(root, "", is_hidden)])


def _format_branches(folder: Path, indent: str, is_hidden: Callable[[Path], bool]) -> Iterable[str]:
    visible = sorted(path for path in folder.iterdir() if not is_hidden(path))
    for path in visible:
        is_last = path == visible[-1]
        yield f"{indent}{'└── ' if is_last else '├── '}{path.name}"
        if path.is_dir() and not path.is_symlink():
            yield from _format_branches(path, indent + ("    " if is_last else "│   "), is_hidden)
