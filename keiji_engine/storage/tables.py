"""The tables as the code knows them. migrations/ creates them; a contract test compares the two.

What only one kind of database has (ids that are never reused, partial indexes) is in the migrations alone: naming it
here would import every dialect, which takes 40 ms.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from keiji.reasons import Reason, from_json, to_json
from keiji.states import OPEN, BackfillState, RunState, Trigger


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware instant in UTC, exact to the microsecond.

    SQLite has no such type: text of fixed width in UTC sorts by time, and SQLite's date functions read it.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        return dialect.type_descriptor(sa.String(27) if dialect.name == "sqlite" else sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without a time zone cannot be stored: {value}")
        value = value.astimezone(UTC)
        return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}" if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            found: datetime = moment.astimezone(UTC)
        except (ValueError, AttributeError, OverflowError):
            found = _as_unreadable(value)
        return found


class Text(sa.types.TypeDecorator[str]):
    """Text from any source.

    A NUL, which PostgreSQL rejects, and bytes of a command line that are not UTF-8 are escaped, so that they do not
    fail the transaction.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        if value is None:
            return None
        return value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


class ReasonText(sa.types.TypeDecorator[Reason]):
    """A reason as JSON in ASCII; "" for none. Plain text, as earlier versions stored it, is read as a text reason."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Reason | None, dialect: sa.Dialect) -> str:
        return to_json(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Reason | None:
        return from_json(value or "")


class Json(sa.types.TypeDecorator[Any]):
    """Plain data as JSON in ASCII, which both databases accept whatever its content."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        if value is None:
            return None
        try:
            return json.loads(value)
        except (ValueError, TypeError):
            return _as_unreadable(value)


class Choice(sa.types.TypeDecorator[StrEnum]):
    """A member of an enumeration."""

    impl = sa.String(16)
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else str(self.kind(value))

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> StrEnum | None:
        if value is None:
            return None
        try:
            found = self.kind(value)
        except ValueError:
            found = _as_unreadable(value)
        return found


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value that cannot be read, in the place of one that can: one bad value must not fail a query for many rows."""

    value: object


def _as_unreadable(value: object) -> Any:
    return Unreadable(value)


def is_open(state: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Return the condition that a run has not ended, with literal values, so that the partial index applies."""
    values: sa.BindParameter[Any] = sa.bindparam("open_states", sorted(OPEN), expanding=True, literal_execute=True)
    return state.in_(values)


metadata = sa.MetaData()

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("task_id", sa.String(36), nullable=False, unique=True),
    sa.Column("name", Text, nullable=False, unique=True),
    sa.Column("slug", Text, nullable=False, unique=True),
    sa.Column("description", Text, nullable=False),
    sa.Column("schedule", Json),
    sa.Column("policy", Json, nullable=False),
    sa.Column("build", sa.String(64)),
    sa.Column("next_at", Moment),
    sa.Column("last_at", Moment),
    sa.Column("is_disabled", sa.Boolean, nullable=False),
    sa.Column("is_error", sa.Boolean, nullable=False),
    sa.Column("error", ReasonText, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("pause", Json),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("held_at", Moment),
    sa.Column("last_series", sa.Integer, nullable=False, server_default="0"),  # of the series of its runs
    sa.Column("rolled_back_from", sa.String(64)),  # the build that a rollback replaced
)


def _task_column(**options: Any) -> sa.Column[int]:
    return sa.Column("task_id", sa.Integer, sa.ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False, **options)


builds = sa.Table(
    "builds",
    metadata,
    _task_column(primary_key=True),
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("command", Json, nullable=False),
    sa.Column("files", Json, nullable=False),
    sa.Column("schedule", Json, nullable=False),
    sa.Column("policy", Json, nullable=False),
    sa.Column("import_seconds", sa.Double, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("activated_at", Moment, nullable=False),  # when it last became active
    sa.Column("execution", Json),
    sa.Column("activated_by", Text, nullable=False, server_default=""),
    sa.Column("is_pinned", sa.Boolean, nullable=False, server_default=sa.false()),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", sa.String(32), primary_key=True),
    _task_column(),
    sa.Column("trigger", Choice(Trigger), nullable=False),
    sa.Column("state", Choice(RunState), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("scheduled_for", Moment),
    sa.Column("due_at", Moment),
    sa.Column("started_at", Moment),
    sa.Column("finished_at", Moment),
    sa.Column("reason", ReasonText, nullable=False),
    sa.Column("exit_code", sa.Integer),
    sa.Column("signal", sa.Integer),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("cpu_seconds", sa.Double),
    sa.Column("peak_memory_bytes", sa.BigInteger),
    sa.Column("log_start", sa.BigInteger),
    sa.Column("log_end", sa.BigInteger),
    sa.Column("build", sa.String(64)),
    sa.Column("retry_of", sa.String(32), unique=True),  # the run that this run retries
    sa.Column("count", sa.Integer, nullable=False, server_default="1"),
    sa.Column("scheduled_until", Moment),
    sa.Column("folder", sa.String(32)),  # where it was claimed, see RunOrigin
    sa.Column("boot", sa.String(36)),
    sa.Column("series", sa.Integer, nullable=False, server_default="0"),
    sa.Column("params", Json),
    sa.Column("overrides", Json),
    sa.Column("covers_from", Moment),
    sa.Column("covers", sa.Integer, nullable=False, server_default="1"),
    sa.UniqueConstraint("task_id", "scheduled_for", "series", "attempt"),
    sa.Index("runs_by_creation", "task_id", "created_at", "run_id"),
    sa.Index("runs_by_end", "task_id", "finished_at", "run_id"),
    sa.Index("runs_open", "run_id"),  # partial: the rows that is_open() finds
)

backfills = sa.Table(
    "backfills",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _task_column(),
    sa.Column("series", sa.Integer, nullable=False),
    sa.Column("first", Moment, nullable=False),
    sa.Column("last", Moment, nullable=False),
    sa.Column("schedule", Json, nullable=False),
    sa.Column("parallel", sa.Integer, nullable=False),
    sa.Column("again", sa.Boolean, nullable=False),
    sa.Column("params", Json),
    sa.Column("overrides", Json),
    sa.Column("state", Choice(BackfillState), nullable=False),
    sa.Column("next_at", Moment),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("skipped", sa.Integer, nullable=False),
    sa.Column("claimed", sa.Integer, nullable=False),
    sa.Column("succeeded", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("created_by", Text, nullable=False),
    sa.Column("finished_at", Moment),
    sa.UniqueConstraint("task_id", "series"),
)

system_state = sa.Table(  # facts about the whole system, such as its pause
    "system_state",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", Json, nullable=False),
)

directives = sa.Table(
    "directives",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("verb", Text, nullable=False),
    sa.Column("target", Text, nullable=False),
    sa.Column("sender", Text, nullable=False),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("reply", sa.LargeBinary, nullable=False),
    sa.Column("received_at", Moment, nullable=False),
    sa.Column("completed_at", Moment),
    sa.Column("options", Json),
    sa.Column("user", Text, nullable=False, server_default=""),
    sa.Column("sudo_user", Text, nullable=False, server_default=""),
)
