"""Runs have a series, parameters and overrides; there are backfills."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "2026.11.3"
down_revision = "2026.11.2"

_moment = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_KEY = ("task_id", "scheduled_for", "attempt")
_NEW_KEY = ("task_id", "scheduled_for", "series", "attempt")


def _new_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("series", sa.Integer, nullable=False, server_default="0"),
        sa.Column("params", sa.Text),
        sa.Column("overrides", sa.Text),
    )


def upgrade() -> None:
    op.add_column("tasks", sa.Column("last_series", sa.Integer, nullable=False, server_default="0"))
    if op.get_bind().dialect.name == "sqlite":
        _copy_runs()
    else:
        for column in _new_columns():
            op.add_column("runs", column)
        op.drop_constraint(_name_of_key(), "runs")
        op.create_unique_constraint(None, "runs", _NEW_KEY)
    op.create_table(
        "backfills",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("task_id", sa.Integer, sa.ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("series", sa.Integer, nullable=False),
        sa.Column("first", _moment, nullable=False),
        sa.Column("last", _moment, nullable=False),
        sa.Column("schedule", sa.Text, nullable=False),
        sa.Column("parallel", sa.Integer, nullable=False),
        sa.Column("again", sa.Boolean, nullable=False),
        sa.Column("params", sa.Text),
        sa.Column("overrides", sa.Text),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("next_at", _moment),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("skipped", sa.Integer, nullable=False),
        sa.Column("claimed", sa.Integer, nullable=False),
        sa.Column("succeeded", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("created_at", _moment, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("finished_at", _moment),
        sa.UniqueConstraint("task_id", "series"),
        sqlite_autoincrement=True,  # the id of a deleted backfill is never reused, as in PostgreSQL
    )


def _name_of_key() -> str:
    constraints = sa.inspect(op.get_bind()).get_unique_constraints("runs")
    name = next(each["name"] for each in constraints if tuple(each["column_names"]) == _KEY)
    assert name is not None, "PostgreSQL names every constraint"
    return name


def _copy_runs() -> None:
    """Replace the table of runs with one that has the new key: SQLite cannot change the key of a table."""
    former = sa.Table("runs", sa.MetaData(), autoload_with=op.get_bind(), resolve_fks=False)
    names = [f'"{column.name}"' for column in former.columns]
    op.create_table(
        "runs_with_series",
        sa.Column("run_id", sa.String(32), primary_key=True),
        sa.Column("task_id", sa.Integer, sa.ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("trigger", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", _moment, nullable=False),
        sa.Column("scheduled_for", _moment),
        sa.Column("due_at", _moment),
        sa.Column("started_at", _moment),
        sa.Column("finished_at", _moment),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("exit_code", sa.Integer),
        sa.Column("signal", sa.Integer),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("cpu_seconds", sa.Double),
        sa.Column("peak_memory_bytes", sa.BigInteger),
        sa.Column("log_start", sa.BigInteger),
        sa.Column("log_end", sa.BigInteger),
        sa.Column("build", sa.String(64)),
        sa.Column("retry_of", sa.String(32), unique=True),
        sa.Column("count", sa.Integer, nullable=False, server_default="1"),
        sa.Column("scheduled_until", _moment),
        sa.Column("folder", sa.String(32)),
        sa.Column("boot", sa.String(36)),
        *_new_columns(),
        sa.UniqueConstraint(*_NEW_KEY),
    )
    columns = ", ".join(names)
    op.execute(f"INSERT INTO runs_with_series ({columns}) SELECT {columns} FROM runs")
    op.drop_table("runs")
    op.rename_table("runs_with_series", "runs")
    op.create_index("runs_by_creation", "runs", ["task_id", "created_at", "run_id"])
    op.create_index("runs_by_end", "runs", ["task_id", "finished_at", "run_id"])
    open_states = sa.text("state IN ('queued', 'running', 'starting')")
    op.create_index("runs_open", "runs", ["run_id"], sqlite_where=open_states)
