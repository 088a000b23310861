"""Output of ``--json``. Keys and their order are stable; times are ISO 8601 with the UTC offset of the workspace."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

from keiji.reasons import render

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from keiji.engine_process import EngineInfo
    from keiji.records import Pause, Run
    from keiji.schedule import Schedule
    from keiji_cli.services import ServiceInfo
    from keiji_engine.bus.views import BackfillView, BuildView, DueInstant, TaskView


TASK_KEYS = (
    "id", "task_id", "name", "description", "schedule", "type", "last_execution_time", "next_execution_time",
    "log_path", "slug", "executable", "is_running", "is_queued", "is_error", "is_disabled", "error_text", "build",
    "policy", "pause", "held_since", "waiting", "kind", "command", "parameters", "tags", "events", "zone",
)  # fmt: skip
RUN_KEYS = (
    "run_id", "task", "trigger", "scheduled_for", "started_at", "finished_at", "state", "reason", "exit_code",
    "signal", "attempt", "cpu_seconds", "peak_memory_bytes", "build", "count", "scheduled_until", "series", "params",
    "overrides", "covers", "covers_from",
)  # fmt: skip
BACKFILL_KEYS = (
    "id", "task", "state", "first", "last", "zone", "schedule", "total", "skipped", "succeeded", "failed", "open",
    "next_at", "parallel", "again", "created_at", "created_by", "finished_at", "waiting",
)  # fmt: skip
BUILD_KEYS = (
    "hash", "created_at", "activated_at", "activated_by", "is_active", "is_pinned", "is_missing", "runs", "size",
    "files",
)  # fmt: skip
PAUSE_KEYS = ("since", "reason", "by")
WHEN_KEYS = ("at", "note", "is_skipped")
UPCOMING_KEYS = ("at", "starts_at", "note", "is_skipped")


def format_tasks(tasks: Iterable[TaskView], zone: tzinfo) -> str:
    """Return tasks as a list of objects with `TASK_KEYS`."""
    return _dump([_task_object(task, zone) for task in tasks])


def _task_object(task: TaskView, zone: tzinfo) -> dict[str, Any]:
    return _select(
        task,
        TASK_KEYS,
        zone,
        error_text=render(task.error, zone),
        waiting=render(task.waiting, zone),
        pause=_pause_object(task.pause, zone),
        parameters=[parameter.to_dict() for parameter in task.parameters],
    )


def format_runs(runs: Iterable[Run], zone: tzinfo) -> str:
    """Return runs as a list of objects with `RUN_KEYS`."""
    return _dump([_run_object(run, zone) for run in runs])


def _run_object(run: Run, zone: tzinfo) -> dict[str, Any]:
    overrides = run.overrides.to_dict() if run.overrides is not None else {}
    return _select(run, RUN_KEYS, zone, reason=render(run.reason, zone), overrides=overrides)


def format_backfills(backfills: Iterable[BackfillView], zone: tzinfo) -> str:
    """Return backfills as a list of objects with `BACKFILL_KEYS`."""
    return _dump([_select(each, BACKFILL_KEYS, zone, waiting=render(each.waiting, zone)) for each in backfills])


def format_builds(builds: Iterable[BuildView], zone: tzinfo) -> str:
    """Return builds as a list of objects with `BUILD_KEYS`."""
    return _dump([_select(each, BUILD_KEYS, zone) for each in builds])


def format_upcoming(instants: Iterable[DueInstant], zone: tzinfo) -> str:
    """Return due instants as a list of objects with `UPCOMING_KEYS`."""
    return _dump([_select(instant, UPCOMING_KEYS, zone) for instant in instants])


def format_when(schedule: Schedule, instants: Iterable[DueInstant], zone: ZoneInfo) -> str:
    """Return an object with a schedule, its description, its events and its next instants."""
    return _dump(
        {
            "schedule": schedule.source_form(),
            "description": schedule.describe(),
            "zone": zone.key,
            "events": [event.describe() for event in schedule.events],
            "instants": [_select(instant, WHEN_KEYS, zone) for instant in instants],
        }
    )


def format_status(
    engine: EngineInfo | None, services: Iterable[ServiceInfo], zone: tzinfo, now: datetime, pause: Pause | None
) -> str:
    """Return an object with the engine (or null), its services, and the pause of the system (or null)."""
    engine_object = engine and {
        "pid": engine.pid,
        "version": engine.version,
        "boot": engine.boot,
        "uptime_seconds": max(round((now - datetime.fromisoformat(engine.started_at)).total_seconds(), 3), 0.0),
    }
    service_objects = [
        {
            "name": service.name,
            "status": service.status,
            "since": _localize(service.since, zone),
            "detail": service.detail,
        }
        for service in services
    ]
    return _dump({"engine": engine_object, "services": service_objects, "pause": _pause_object(pause, zone)})


def _localize(timestamp: str | None, zone: tzinfo) -> str | None:
    return datetime.fromisoformat(timestamp).astimezone(zone).isoformat() if timestamp else None


def _pause_object(pause: Pause | None, zone: tzinfo) -> dict[str, Any] | None:
    return _select(pause, PAUSE_KEYS, zone) if pause is not None else None


def _select(record: object, keys: Iterable[str], zone: tzinfo, **converted: Any) -> dict[str, Any]:
    """Return the attributes ``keys`` of a record, some of them already converted to JSON values."""
    return {key: converted[key] if key in converted else _to_json(getattr(record, key), zone) for key in keys}


def _to_json(value: Any, zone: tzinfo) -> Any:
    return value.astimezone(zone).isoformat() if isinstance(value, datetime) else value


def _dump(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False)
