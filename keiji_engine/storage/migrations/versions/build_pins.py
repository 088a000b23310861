"""A build says who activated it and whether it is pinned; a task, from which build it was rolled back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026.11.5"
down_revision = "2026.11.4"


def upgrade() -> None:
    op.add_column("builds", sa.Column("activated_by", sa.Text, nullable=False, server_default=""))
    op.add_column("builds", sa.Column("is_pinned", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("tasks", sa.Column("rolled_back_from", sa.String(64)))
