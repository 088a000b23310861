"""What people read: progress lines, the block of a task, tables, sizes, trees."""

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


BAR = "=" * 100
_TITLE = "======== SERVICES ========"


def progress(*lines: str) -> None:
    """Print lines about what was just done, each with the time. An indented line belongs to the one before."""
    stamp = f"{datetime.now():%Y/%m/%d %H:%M:%S}"
    for line in lines:
        click.echo(line if line[:1] in {"", " "} else f"{stamp} {line}")


def moment(value: datetime | None, zone: tzinfo) -> str:
    """Return a moment by the clocks of ``zone``; "N/A" for none."""
    return f"{value.astimezone(zone):%Y-%m-%d %H:%M:%S %z}" if value else "N/A"


def task_block(task: TaskView, zone: tzinfo) -> str:
    """Return every field of a task, one a line."""
    fields: dict[str, Any] = {
        "ID": task.id,
        "TaskId": task.task_id,
        "Name": task.name,
        "Description": task.description,
        "Schedule": task.schedule,
        "LastExecutionTime": moment(task.last_execution_time, zone),
        "NextExecutionTime": moment(task.next_execution_time, zone),
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
    return "\n".join(["TaskModel:", *(f"{name}: {_plain(value)}" for name, value in fields.items())])


def task_notes(task: TaskView, zone: tzinfo) -> str:
    """Return what else is worth knowing of a task, one line each; "" when nothing is."""
    notes = {
        "Runs": task.schedule_description,
        "Policy": task.policy,
        "Paused": _paused(task.pause, zone),
        "Held": _held(task, zone),
        "Sources": task.source_path,
        "Build": task.build or "none yet: keiji task build makes one",
        "Running since": moment(task.running_since, zone) if task.running_since else "",
        "Tried again": moment(task.retry_at, zone) if task.retry_at else "",
        "Waiting": render(task.waiting, zone),
        "Sources differ from the build": ", ".join(task.source_changes),
        "Sources cannot be built": task.source_error,
    }
    return "\n".join(f"{name}: {value}" for name, value in notes.items() if value)


def _paused(pause: Pause | None, zone: tzinfo) -> str:
    if pause is None:
        return ""
    by = f" by {pause.by}" if pause.by else ""
    return f"since {moment(pause.since, zone)}{by}" + (f": {pause.reason}" if pause.reason else "")


def _held(task: TaskView, zone: tzinfo) -> str:
    if task.held_since is None:
        return ""
    times = "a failure" if task.failures == 1 else f"{task.failures} failures in a row"
    return f"since {moment(task.held_since, zone)}, after {times}: keiji task resolve {task.slug} ends that"


def whole_pause(pause: Pause, zone: tzinfo) -> str:
    """Return the lines that say that everything is paused."""
    return f"everything is paused {_paused(pause, zone)}\nkeiji system resume lets it go on"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def runs_table(runs: Iterable[Run], zone: tzinfo) -> str:
    """Return a table of runs: when they were due and when they began, why, how they ended, how long they took."""
    rows = [
        (
            moment(run.scheduled_for, zone) if run.scheduled_for else "",
            moment(run.started_at, zone) if run.started_at else "",
            run.trigger,
            run.state.upper(),
            f"{run.seconds:.2f} s" if run.seconds is not None else "",
            str(run.attempt),
            run.run_id,
            _run_reason(run, zone),
        )
        for run in runs
    ]
    return table(("DUE", "BEGAN", "TRIGGER", "STATE", "TOOK", "ATTEMPT", "RUN", "REASON"), rows)


def _run_reason(run: Run, zone: tzinfo) -> str:
    text = render(run.reason, zone)
    return text if run.count == 1 else f"{run.count} until {moment(run.scheduled_until, zone)}: {text}"


def upcoming_table(instants: Iterable[DueInstant], zone: tzinfo, now: datetime) -> str:
    """Return a table of instants: when, in how long, what there is to say of each."""
    rows = []
    for instant in instants:
        day = f"{instant.at.astimezone(zone):%a}"
        ahead = (instant.at - now).total_seconds()
        in_words = "" if instant.is_skipped else f"in {duration(ahead)}" if ahead >= 0 else f"{duration(-ahead)} ago"
        rows.append((day, f"{instant.at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}", in_words, instant.note))
    return table(("DAY", "DUE", "", "NOTE"), rows)


def services_table(services: Iterable[tuple[str, str]]) -> str:
    """Return the table of services, from (name, status)."""
    rows = [("NAME", "STATUS"), *((name, status.upper()) for name, status in services)]
    return "\n".join([_TITLE, *(f"{name:<18} {status:<18}" for name, status in rows), _TITLE])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a header, in columns as wide as they need."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def tasks_table(found: Iterable[TaskView], zone: tzinfo) -> str:
    """Return one line for each task."""
    rows = [
        (task.name, _state(task), task.schedule_description, moment(task.next_execution_time, zone), _last(task, zone))
        for task in found
    ]
    return table(("NAME", "STATE", "SCHEDULE", "NEXT", "LAST"), rows)


def _state(task: TaskView) -> str:
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


def _last(task: TaskView, zone: tzinfo) -> str:
    if not task.recent:
        return ""
    run = task.recent[-1]
    return str(run.state) if run.reason is None else f"{run.state}: {render(run.reason, zone)}"


def size(count: int) -> str:
    """Return a number of bytes in units that people read."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    step = min(int(math.log(max(count, 1), 1024)), len(units) - 1)
    return f"{count / 1024**step:.{1 if step else 0}f} {units[step]}"


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{value} {unit}" for value, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")) if value]
    return " ".join(parts[:2]) or "0 s"


def tree(root: Path, hidden: Callable[[Path], bool]) -> str:
    """Return a folder and all that is in it, but what is ``hidden``, as a tree."""
    return "\n".join([str(root), *_branches(root, "", hidden)])


def _branches(folder: Path, indent: str, hidden: Callable[[Path], bool]) -> Iterable[str]:
    shown = sorted(path for path in folder.iterdir() if not hidden(path))
    for path in shown:
        last = path == shown[-1]
        yield f"{indent}{'└── ' if last else '├── '}{path.name}"
        if path.is_dir() and not path.is_symlink():
            yield from _branches(path, indent + ("    " if last else "│   "), hidden)
