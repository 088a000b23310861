"""The past: how much of it is kept, and up to which moment it goes."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from keiji.schedule import EPOCH
from keiji.states import OPEN, BackfillState
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.ids import moment_of, prefix_of
from keiji_engine.storage.recent import had_process
from keiji_engine.storage.tables import backfills, directives, runs, tasks


class HistoryRepository:
    """Pruning in one transaction."""

    def __init__(self, connection: sa.Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    def prune_before(self, moment: datetime, limit: int) -> int:
        """Remove runs created, directives received and backfills done before ``moment``; return the number of rows.

        Open runs, directives in progress and stopped backfills, which can be resumed, stay.

        Args:
            limit: maximum number of runs, and of directives, to remove.
        """
        # Run ids sort by creation, so that the query reads only old rows.
        old = sa.select(runs.c.run_id).where(runs.c.run_id < prefix_of(moment), runs.c.state.not_in(OPEN))
        old = old.order_by(runs.c.run_id).limit(limit)
        removed = self._connection.execute(sa.delete(runs).where(runs.c.run_id.in_(old))).rowcount
        completed = sa.select(directives.c.id).where(
            directives.c.received_at < moment, directives.c.completed_at.is_not(None)
        )
        gone = sa.delete(directives).where(directives.c.id.in_(completed.limit(limit)))
        removed += self._connection.execute(gone).rowcount
        ended = sa.select(backfills.c.id).where(
            backfills.c.finished_at < moment, backfills.c.state == BackfillState.DONE
        )
        removed += self._connection.execute(sa.delete(backfills).where(backfills.c.id.in_(ended.limit(limit)))).rowcount
        self._changes.pruned += removed
        return removed

    def over_limit(self, slugs: Collection[str], keep: int) -> list[str]:
        """Return those of the tasks that have more than ``keep`` runs."""
        counted = (
            sa.select(tasks.c.slug)
            .join_from(tasks, runs)
            .where(tasks.c.slug.in_(slugs))
            .group_by(tasks.c.slug)
            .having(sa.func.count() > keep)
        )
        return sorted(self._connection.scalars(counted))

    def prune_surplus(self, slug: str, keep: int, limit: int) -> int:
        """Remove runs of a task beyond ``keep``, at most ``limit``; return the number of rows removed.

        Rows that never had a process go first, then the others; of both, the oldest. Open runs stay.
        """
        owner = sa.select(tasks.c.id).where(tasks.c.slug == slug).scalar_subquery()
        own = runs.c.task_id == owner
        count = self._connection.scalar(sa.select(sa.func.count()).select_from(runs).where(own)) or 0
        removed = 0
        for condition in (sa.not_(had_process(runs)), had_process(runs)):
            surplus = min(count - keep, limit) - removed
            if surplus <= 0:
                break
            ended = sa.select(runs.c.run_id).where(own, runs.c.state.not_in(OPEN), condition)
            oldest = ended.order_by(runs.c.created_at, runs.c.run_id).limit(surplus)
            removed += self._connection.execute(sa.delete(runs).where(runs.c.run_id.in_(oldest))).rowcount
        self._changes.pruned += removed
        return removed

    def newest_moment(self) -> datetime:
        """Return the latest moment recorded anywhere: the clock must have shown it. EPOCH for an empty database."""
        newest_run = self._connection.scalar(sa.select(sa.func.max(runs.c.run_id)))
        others = [
            self._connection.scalar(sa.select(sa.func.max(column)))
            for column in (directives.c.received_at, tasks.c.created_at)
        ]
        with contextlib.suppress(ValueError):
            others.append(moment_of(newest_run) if newest_run else None)
        return max((moment for moment in others if isinstance(moment, datetime)), default=EPOCH)
