"""Rows that account for several instants; tasks that are paused or held; marks of the whole system."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_moment = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    op.add_column("tasks", sa.Column("paused", sa.Text))
    op.add_column("tasks", sa.Column("failures", sa.Integer, nullable=False, server_default="0"))
    op.add_column("tasks", sa.Column("held_at", _moment))
    op.add_column("runs", sa.Column("count", sa.Integer, nullable=False, server_default="1"))
    op.add_column("runs", sa.Column("scheduled_until", _moment))
    op.create_table(
        "marks",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
