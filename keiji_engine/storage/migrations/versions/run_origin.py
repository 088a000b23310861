"""Each claimed run has the id of the folder of run files, and the id of the boot."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2026.11.2"
down_revision = "2026.11"


def upgrade() -> None:
    op.add_column("runs", sa.Column("folder", sa.String(32)))
    op.add_column("runs", sa.Column("boot", sa.String(36)))
