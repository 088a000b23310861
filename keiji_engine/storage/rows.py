"""Rows of the tables as records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import RowMapping

from keiji.errors import KeijiError, StorageError
from keiji.policy import Policy
from keiji.reasons import Code, reason
from keiji.records import Backfill, Build, Execution, Overrides, ParamValue, Pause, RecordedBuild, Run, Task
from keiji.schedule import EPOCH, from_dict
from keiji_engine.storage.tables import Unreadable

R = TypeVar("R")

_PLAIN_TASK_COLUMNS = tuple({field.name for field in fields(Task)} - {"schedule", "policy", "pause", "broken"})
_PLAIN_RUN_COLUMNS = tuple({field.name for field in fields(Run)} - {"task", "params", "overrides"})
_COMPOSED_BACKFILL_COLUMNS = {"task", "schedule", "params", "overrides"}
_PLAIN_BACKFILL_COLUMNS = tuple({field.name for field in fields(Backfill)} - _COMPOSED_BACKFILL_COLUMNS)
_UNREADABLE = (KeijiError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
_SUBSTITUTES = {"created_at": EPOCH}  # of values that are never NULL
_MAX_SHOWN = 80  # characters of an unreadable value

_log = logging.getLogger("keiji.repo")


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


class UnreadableRow(StorageError):
    """A row of the database cannot be read."""


def to_task(row: RowMapping) -> Task:
    """Return a task. What cannot be read of it is left out, and named in `Task.broken`; it has no due instant then."""
    values: dict[str, Any] = {name: row[name] for name in _PLAIN_TASK_COLUMNS}
    problems: list[str] = []
    for name, value in values.items():
        if isinstance(value, Unreadable):
            problems.append(_describe(name, value))
            values[name] = _SUBSTITUTES.get(name)
    try:
        values["schedule"] = from_dict(_object("schedule", row)) if row["schedule"] is not None else None
    except _UNREADABLE as error:
        problems.append(_describe("schedule", error))
    try:
        values["policy"] = Policy.from_dict(_object("policy", row))
    except _UNREADABLE as error:
        problems.append(_describe("policy", error))
    task = Task(**values, pause=to_pause(row["pause"]))
    return as_broken(task, "; ".join(problems)) if problems else task


def as_broken(task: Task, detail: str) -> Task:
    """Return a task of which a part cannot be read. It has no schedule until it is built again."""
    why = reason(Code.UNREADABLE, detail=detail)
    return replace(task, schedule=None, next_at=None, broken=why, is_error=True, error=why)


def to_pause(data: Any) -> Pause | None:
    """Read what `from_pause` wrote. A pause that cannot be read is still a pause."""
    if data is None:
        return None
    try:
        return Pause(since=datetime.fromisoformat(data["since"]), reason=str(data["reason"]), by=str(data["by"]))
    except _UNREADABLE:
        return Pause(since=EPOCH, reason="the stored pause cannot be read; resuming removes it", by="")


def from_pause(pause: Pause | None) -> dict[str, str] | None:
    """Return a pause as plain data."""
    if pause is None:
        return None
    return {"since": pause.since.isoformat(), "reason": pause.reason, "by": pause.by}


def to_build(row: RowMapping) -> Build:
    """Return a build. Raises UnreadableRow."""
    try:
        return Build(
            hash=row["hash"],
            command=tuple(_readable("command", row)),
            files=_object("files", row),
            schedule=from_dict(_object("schedule", row)),
            policy=Policy.from_dict(_object("policy", row)),
            import_seconds=row["import_seconds"],
            created_at=_readable("created_at", row),
            execution=Execution() if row["execution"] is None else Execution.from_dict(_object("execution", row)),
            is_pinned=row["is_pinned"],
        )
    except _UNREADABLE as error:
        raise UnreadableRow(f"the record of the build {row['hash']} cannot be read: {_text(error)}") from error


def to_recorded_build(row: RowMapping) -> RecordedBuild:
    """Return what is listed about a build. Raises UnreadableRow."""
    try:
        return RecordedBuild(
            hash=row["hash"],
            created_at=_readable("created_at", row),
            activated_at=_readable("activated_at", row),
            activated_by=row["activated_by"],
            is_pinned=row["is_pinned"],
            files=len(_object("files", row)),
        )
    except _UNREADABLE as error:
        raise UnreadableRow(f"the record of the build {row['hash']} cannot be read: {_text(error)}") from error


def to_run(row: RowMapping, slug: str) -> Run:
    """Return a run. Raises UnreadableRow."""
    values: dict[str, Any] = {name: row[name] for name in _PLAIN_RUN_COLUMNS}
    for name, value in values.items():
        if isinstance(value, Unreadable):
            raise UnreadableRow(f"the record of the run {row['run_id']} cannot be read: {_describe(name, value)}")
    try:
        return Run(task=slug, params=_params(row), overrides=_overrides(row), **values)
    except _UNREADABLE as error:
        raise UnreadableRow(f"the record of the run {row['run_id']} cannot be read: {_text(error)}") from None


def to_backfill(row: RowMapping, slug: str) -> Backfill:
    """Return a backfill. Raises UnreadableRow."""
    values: dict[str, Any] = {name: row[name] for name in _PLAIN_BACKFILL_COLUMNS}
    for name, value in values.items():
        if isinstance(value, Unreadable):
            raise UnreadableRow(f"the record of the backfill {row['id']} cannot be read: {_describe(name, value)}")
    try:
        schedule = from_dict(_object("schedule", row))
        return Backfill(task=slug, schedule=schedule, params=_params(row), overrides=_overrides(row), **values)
    except _UNREADABLE as error:
        raise UnreadableRow(f"the record of the backfill {row['id']} cannot be read: {_text(error)}") from None


def to_directive(row: RowMapping) -> StoredDirective:
    """Return a directive. Raises UnreadableRow."""
    for name, value in row.items():
        if isinstance(value, Unreadable) and name != "options":
            raise UnreadableRow(f"the record of the directive {row['id']} cannot be read: {_describe(name, value)}")
    options = row["options"]
    return StoredDirective(**{**row, "options": options if isinstance(options, dict) else {}})


def readable(rows: Iterable[RowMapping], convert: Callable[[RowMapping], R]) -> Iterator[R]:
    """Convert rows, and leave those out that cannot be read, with an entry in the log."""
    for row in rows:
        try:
            converted = convert(row)
        except UnreadableRow as error:
            _log.error("%s", error.message)
        else:
            yield converted


def from_request(params: Mapping[str, ParamValue], overrides: Overrides | None) -> dict[str, dict[str, Any] | None]:
    """Return the columns of the parameters and overrides of a run or backfill; NULL in place of empty ones."""
    return {"params": dict(params) or None, "overrides": (overrides.to_dict() or None) if overrides else None}


def _params(row: RowMapping) -> dict[str, ParamValue]:
    return {} if row["params"] is None else _object("params", row)


def _overrides(row: RowMapping) -> Overrides | None:
    return None if row["overrides"] is None else Overrides.from_dict(_object("overrides", row))


def _readable(name: str, row: RowMapping) -> Any:
    value = row[name]
    if isinstance(value, Unreadable):
        raise UnreadableRow(_describe(name, value))
    return value


def _object(name: str, row: RowMapping) -> dict[str, Any]:
    value = _readable(name, row)
    if not isinstance(value, dict):
        raise TypeError(f"{str(value)[:_MAX_SHOWN]} is no object")
    return value


def _describe(name: str, problem: Unreadable | Exception) -> str:
    if isinstance(problem, UnreadableRow):
        return problem.message
    if isinstance(problem, Exception):
        return f"{name}: {_text(problem)}"
    return f"{name}: {str(problem.value)[:_MAX_SHOWN]!r} is no valid value"


def _text(error: Exception) -> str:
    return error.message if isinstance(error, KeijiError) else f"{type(error).__name__}: {error}"
