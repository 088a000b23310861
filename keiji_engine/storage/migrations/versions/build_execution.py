"""A build says how it is executed; a run that catches up, which instants it covers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026.11.4"
down_revision = "2026.11.3"


def upgrade() -> None:
    op.add_column("builds", sa.Column("execution", sa.Text))
    op.add_column("runs", sa.Column("covers_from", sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")))
    op.add_column("runs", sa.Column("covers", sa.Integer, nullable=False, server_default="1"))
