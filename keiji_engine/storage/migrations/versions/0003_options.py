"""What a directive says beyond its verb and target."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("directives", sa.Column("options", sa.Text))
