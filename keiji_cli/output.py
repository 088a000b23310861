"""Output as text: progress lines, task details, tables, sizes, directory trees."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keiji.reasons import render

if TYPE_CHECKING:
    from keiji.records import Pause, Run
    from keiji_engine.bus.views import DueInstant, TaskView


SEPARATOR = "=" * 100
_SERVICES_TITLE = "======== SERVICES ========"


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
        "NextExecutionTime": format_time(task.next_execution_time, zone),
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


def format_task_details(task: TaskView, zone: tzinfo) -> str:
    """Return the details that the task model lacks, one per line; details that do not apply are omitted."""
    details = {
        "Runs": task.schedule_description,
        "Policy": task.policy,
        "Paused": _format_pause(task.pause, zone),
        "Held": _format_hold(task, zone),
        "Sources": task.source_path,
        "Build": task.build or f"none yet: keiji task build {task.slug} creates one",
        "Running since": format_time(task.running_since, zone) if task.running_since else "",
        "Next retry": format_time(task.retry_at, zone) if task.retry_at else "",
        "Waiting": render(task.waiting, zone),
        "Sources differ from the build": ", ".join(task.source_changes),
        "Sources cannot be built": task.source_error,
    }
    return "\n".join(f"{name}: {value}" for name, value in details.items() if value)


def _format_pause(pause: Pause | None, zone: tzinfo) -> str:
    if pause is None:
        return ""
    by = f" by {pause.by}" if pause.by else ""
    return f"since {format_time(pause.since, zone)}{by}" + (f": {pause.reason}" if pause.reason else "")


def _format_hold(task: TaskView, zone: tzinfo) -> str:
    if task.held_since is None:
        return ""
    failures = "1 failure" if task.failures == 1 else f"{task.failures} consecutive failures"
    since = format_time(task.held_since, zone)
    return f"since {since}, after {failures}: keiji task resolve {task.slug} releases it"


def format_system_pause(pause: Pause, zone: tzinfo) -> str:
    """Return the lines that show the pause of the system."""
    return f"all tasks paused {_format_pause(pause, zone)}\nkeiji system resume resumes them"


def _format_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def format_runs_table(runs: Iterable[Run], zone: tzinfo) -> str:
    """Return a table with one row per run: due and start time, trigger, result, duration, reason."""
    rows = [
        (
            format_time(run.scheduled_for, zone) if run.scheduled_for else "",
            format_time(run.started_at, zone) if run.started_at else "",
            run.trigger,
            run.state.upper(),
            f"{run.seconds:.2f} s" if run.seconds is not None else "",
            str(run.attempt),
            run.run_id,
            _format_reason(run, zone),
        )
        for run in runs
    ]
    return format_table(("DUE", "STARTED", "TRIGGER", "STATE", "DURATION", "ATTEMPT", "RUN", "REASON"), rows)


def _format_reason(run: Run, zone: tzinfo) -> str:
    text = render(run.reason, zone)
    return text if run.count == 1 else f"{run.count} occurrences until {format_time(run.scheduled_until, zone)}: {text}"


def format_upcoming_table(instants: Iterable[DueInstant], zone: tzinfo, now: datetime) -> str:
    """Return a table with one row per due instant: its time, the time until then, a note."""
    rows = []
    for instant in instants:
        at = instant.at.astimezone(zone)
        relative = "" if instant.is_skipped else _format_relative((instant.at - now).total_seconds())
        rows.append((f"{at:%a}", f"{at:%Y-%m-%d %H:%M:%S %Z}", relative, instant.note))
    return format_table(("DAY", "DUE", "", "NOTE"), rows)


def _format_relative(seconds: float) -> str:
    return f"in {format_duration(seconds)}" if seconds >= 0 else f"{format_duration(-seconds)} ago"


def format_services_table(services: Iterable[tuple[str, str]]) -> str:
    """Return the table of service names and statuses."""
    rows = [("NAME", "STATUS"), *((name, status.upper()) for name, status in services)]
    return "\n".join([_SERVICES_TITLE, *(f"{name:<18} {status:<18}" for name, status in rows), _SERVICES_TITLE])


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a header, each column as wide as its widest cell."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def format_tasks_table(tasks: Iterable[TaskView], zone: tzinfo) -> str:
    """Return a table with one row per task."""
    rows = [
        (
            task.name,
            _task_state(task),
            task.schedule_description,
            format_time(task.next_execution_time, zone),
            _last_result(task, zone),
        )
        for task in tasks
    ]
    return format_table(("NAME", "STATE", "SCHEDULE", "NEXT", "LAST"), rows)


def _task_state(task: TaskView) -> str:
    if task.is_running:
        return "running"
    if task.is_disabled:
        return "disabled"
    if not task.build:
        return "not built"
    if task.held_since is not None:
        return "held"
    if task.pause is not None:
        return "paused"
    if task.retry_at is not None:
        return "retrying"
    if task.is_queued:
        return "queued"
    return "failing" if task.is_error else "waiting"


def _last_result(task: TaskView, zone: tzinfo) -> str:
    if not task.recent:
        return ""
    run = task.recent[-1]
    return str(run.state) if run.reason is None else f"{run.state}: {render(run.reason, zone)}"


def format_size(size: int) -> str:
    """Return a number of bytes in the largest unit that fits."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    exponent = min(int(math.log(max(size, 1), 1024)), len(units) - 1)
    return f"{size / 1024**exponent:.{1 if exponent else 0}f} {units[exponent]}"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{value} {unit}" for value, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")) if value]
    return " ".join(parts[:2]) or "0 s"


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
