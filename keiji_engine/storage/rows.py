"""Rows of the tables as records."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from keiji.policy import Policy
from keiji.records import Build, Pause, Run, Task
from keiji.schedule import from_dict

_PLAIN_TASK_COLUMNS = tuple({field.name for field in fields(Task)} - {"schedule", "policy", "pause"})
_PLAIN_RUN_COLUMNS = tuple({field.name for field in fields(Run)} - {"task"})


@dataclass(frozen=True, slots=True)
class StoredDirective:
    """A directive in the ledger.

    Args:
        target: the task or service that it is about; "" for the engine itself.
        stage: "accepted" until it is completed, then "done" or "refused".
        reply: the encoded reply; b"" until it is completed.
        options: its fields other than verb and target.
        user: name of the user whose process sent it, as the kernel reports it; "" if unknown.
        sudo_user: who called sudo, as the client claims; "" for no claim.
    """

    id: str
    verb: str
    target: str
    sender: str
    stage: str
    reply: bytes
    received_at: datetime
    completed_at: datetime | None
    options: dict[str, str | bool] = field(default_factory=dict)
    user: str = ""
    sudo_user: str = ""


def to_task(row: RowMapping) -> Task:
    schedule = row["schedule"]
    values: dict[str, Any] = {name: row[name] for name in _PLAIN_TASK_COLUMNS}
    return Task(
        **values,
        schedule=from_dict(schedule) if schedule is not None else None,
        policy=Policy.from_dict(row["policy"]),
        pause=to_pause(row["pause"]),
    )


def to_pause(data: dict[str, str] | None) -> Pause | None:
    """Read what `from_pause` wrote."""
    if data is None:
        return None
    return Pause(since=datetime.fromisoformat(data["since"]), reason=data["reason"], by=data["by"])


def from_pause(pause: Pause | None) -> dict[str, str] | None:
    """Return a pause as plain data."""
    if pause is None:
        return None
    return {"since": pause.since.isoformat(), "reason": pause.reason, "by": pause.by}


def to_build(row: RowMapping) -> Build:
    return Build(
        hash=row["hash"],
        command=tuple(row["command"]),
        files=row["files"],
        schedule=from_dict(row["schedule"]),
        policy=Policy.from_dict(row["policy"]),
        import_seconds=row["import_seconds"],
        created_at=row["created_at"],
    )


def to_run(row: RowMapping, slug: str) -> Run:
    values: dict[str, Any] = {name: row[name] for name in _PLAIN_RUN_COLUMNS}
    return Run(task=slug, **values)


def to_directive(row: RowMapping) -> StoredDirective:
    return StoredDirective(**{**row, "options": row["options"] or {}})
