"""One query for the last runs of every task, however long their histories are."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from keiji.schedule import EPOCH
from keiji.states import NEVER_STARTED, RunState
from keiji_engine.storage.tables import runs, tasks


def recent_runs(limit: int) -> sa.Select[Any]:
    """Return a query for the ``limit`` last ended runs of each task, oldest first, with the task's slug.

    A task without any gives one row in which the columns of the run are NULL.
    """
    # How far back to look is one step in an index per task; numbering alone would read the whole history.
    older = runs.alias("older")
    bound = (
        sa.select(older.c.finished_at)
        .where(older.c.task_id == tasks.c.id, _had_process(older))
        .order_by(older.c.finished_at.desc())
        .limit(1)
        .offset(limit - 1)
        .scalar_subquery()
    )
    since = sa.func.coalesce(bound, sa.literal(EPOCH, runs.c.finished_at.type)).label("since")
    owner = sa.select(tasks.c.id, tasks.c.slug, since).cte("owner")
    belongs = sa.and_(runs.c.task_id == owner.c.id, runs.c.finished_at >= owner.c.since, _had_process(runs))
    place = sa.func.row_number().over(
        partition_by=owner.c.id, order_by=(runs.c.finished_at.desc(), runs.c.run_id.desc())
    )
    numbered = (
        sa.select(runs, owner.c.slug, place.label("place")).select_from(owner.outerjoin(runs, belongs)).subquery()
    )
    return sa.select(numbered).where(numbered.c.place <= limit).order_by(numbered.c.finished_at, numbered.c.run_id)


def _had_process(table: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(
        table.c.finished_at.is_not(None),
        table.c.state.not_in(NEVER_STARTED),
        # What is stopped while it waits in the queue has an end, too.
        sa.or_(table.c.state != RunState.STOPPED, table.c.started_at.is_not(None)),
    )
