"""One query for the latest runs of every task, at a cost that does not grow with the history."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa

from keiji.schedule import EPOCH
from keiji.states import NEVER_STARTED, RunState
from keiji_engine.storage.tables import runs, tasks


@cache
def recent_runs(limit: int) -> sa.Select[Any]:
    """Return a query for the ``limit`` latest ended runs of each task that had a process, oldest first, with its slug.

    A task without such runs has one row in which the columns of the run are NULL.
    """
    # The bound takes one step in an index per task; row numbers alone would read the whole history.
    older = runs.alias("older")
    bound = (
        sa.select(older.c.finished_at)
        .where(older.c.task_id == tasks.c.id, had_process(older))
        .order_by(older.c.finished_at.desc())
        .limit(1)
        .offset(limit - 1)
        .scalar_subquery()
    )
    since = sa.func.coalesce(bound, sa.literal(EPOCH, runs.c.finished_at.type)).label("since")
    owner = sa.select(tasks.c.id, tasks.c.slug, since).cte("owner")
    belongs = sa.and_(runs.c.task_id == owner.c.id, runs.c.finished_at >= owner.c.since, had_process(runs))
    rank = sa.func.row_number().over(
        partition_by=owner.c.id, order_by=(runs.c.finished_at.desc(), runs.c.run_id.desc())
    )
    numbered = sa.select(runs, owner.c.slug, rank.label("rank")).select_from(owner.outerjoin(runs, belongs)).subquery()
    return sa.select(numbered).where(numbered.c.rank <= limit).order_by(numbered.c.finished_at, numbered.c.run_id)


def had_process(table: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that an ended run had a process."""
    return sa.and_(
        table.c.finished_at.is_not(None),
        table.c.state.not_in(NEVER_STARTED),
        # A run that was stopped in the queue has an end, but never had a process.
        sa.or_(table.c.state != RunState.STOPPED, table.c.started_at.is_not(None)),
    )
