"""The initial schema.

A migration does not change once it is released: it names plain types, not those of tables.py, which keep changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026.11"
down_revision = None

_moment = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def _task_column() -> sa.Column[int]:
    return sa.Column("task_id", sa.Integer, sa.ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("task_id", sa.String(36), nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("slug", sa.Text, nullable=False, unique=True),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("schedule", sa.Text),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("build", sa.String(64)),
        sa.Column("next_at", _moment),
        sa.Column("last_at", _moment),
        sa.Column("is_disabled", sa.Boolean, nullable=False),
        sa.Column("is_error", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("created_at", _moment, nullable=False),
        sa.Column("pause", sa.Text),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("held_at", _moment),
        sqlite_autoincrement=True,  # the id of a deleted task is never reused, as in PostgreSQL
    )
    op.create_table(
        "builds",
        _task_column(),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("files", sa.Text, nullable=False),
        sa.Column("schedule", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("import_seconds", sa.Double, nullable=False),
        sa.Column("created_at", _moment, nullable=False),
        sa.Column("activated_at", _moment, nullable=False),
        sa.PrimaryKeyConstraint("task_id", "hash"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(32), primary_key=True),
        _task_column(),
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
        sa.UniqueConstraint("task_id", "scheduled_for", "attempt"),
    )
    op.create_index("runs_by_creation", "runs", ["task_id", "created_at", "run_id"])
    op.create_index("runs_by_end", "runs", ["task_id", "finished_at", "run_id"])
    open_states = sa.text("state IN ('queued', 'running', 'starting')")
    op.create_index("runs_open", "runs", ["run_id"], sqlite_where=open_states, postgresql_where=open_states)
    op.create_table(
        "directives",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("reply", sa.LargeBinary, nullable=False),
        sa.Column("received_at", _moment, nullable=False),
        sa.Column("completed_at", _moment),
        sa.Column("options", sa.Text),
        sa.Column("user", sa.Text, nullable=False, server_default=""),
        sa.Column("sudo_user", sa.Text, nullable=False, server_default=""),
    )
    op.create_table(
        "system_state",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
