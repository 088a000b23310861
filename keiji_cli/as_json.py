"""What programs read. The names and their order are a promise; times are ISO 8601 with the offset of the workspace."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

from keiji.records import Pause

if TYPE_CHECKING:
    from keiji.engine_process import EngineInfo
    from keiji.records import Run
    from keiji_engine.bus.views import DueInstant, TaskView


TASK = (
    "id", "task_id", "name", "description", "schedule", "type", "last_execution_time", "next_execution_time",
    "log_path", "slug", "executable", "is_running", "is_queued", "is_error", "is_disabled", "error_text", "build",
    "policy", "pause", "held_since", "waiting",
)  # fmt: skip
RUN = (
    "run_id", "task", "trigger", "scheduled_for", "started_at", "finished_at", "state", "reason", "exit_code",
    "signal", "attempt", "cpu_seconds", "peak_memory_bytes", "build", "count", "scheduled_until",
)  # fmt: skip
PAUSE = ("since", "reason", "by")
UPCOMING = ("at", "starts_at", "note", "is_skipped")


def tasks(found: Iterable[TaskView], zone: tzinfo) -> str:
    """Return tasks as a list of objects with the fields `TASK`."""
    return _text([_picked(task, TASK, zone) for task in found])


def runs(found: Iterable[Run], zone: tzinfo) -> str:
    """Return runs as a list of objects with the fields `RUN`."""
    return _text([_picked(run, RUN, zone) for run in found])


def upcoming(found: Iterable[DueInstant], zone: tzinfo) -> str:
    """Return instants as a list of objects with the fields `UPCOMING`."""
    return _text([_picked(instant, UPCOMING, zone) for instant in found])


def status(
    engine: EngineInfo | None, services: Iterable[dict[str, Any]], zone: tzinfo, now: datetime, pause: Pause | None
) -> str:
    """Return the engine (or null), its services, and the pause of everything (or null)."""
    about = engine and {
        "pid": engine.pid,
        "version": engine.version,
        "boot": engine.boot,
        "uptime_seconds": round((now - datetime.fromisoformat(engine.started_at)).total_seconds(), 3),
    }
    listed = [
        {"name": service["name"], "status": service["status"], "since": _since(service.get("since"), zone)}
        for service in services
    ]
    return _text({"engine": about, "services": listed, "pause": _plain(pause, zone)})


def _since(value: str | None, zone: tzinfo) -> str | None:
    return datetime.fromisoformat(value).astimezone(zone).isoformat() if value else None


def _picked(record: object, fields: Iterable[str], zone: tzinfo) -> dict[str, Any]:
    return {field: _plain(getattr(record, field), zone) for field in fields}


def _plain(value: Any, zone: tzinfo) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat()
    return _picked(value, PAUSE, zone) if isinstance(value, Pause) else value


def _text(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False)
