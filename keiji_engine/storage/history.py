"""Verbs about what is past: what is kept of it, and what becomes of it when the clock is set back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

import sqlalchemy as sa

from keiji.records import Task
from keiji.schedule import EPOCH, Schedule
from keiji.states import OPEN, RunState
from keiji_engine.storage.database import Database
from keiji_engine.storage.ids import moment_of, prefix_of
from keiji_engine.storage.rows import to_task
from keiji_engine.storage.tables import directives, runs, tasks

_NEVER_RAN = (RunState.SKIPPED, RunState.MISSED, RunState.COALESCED)

Recount = Callable[[datetime], tuple[int, datetime]]


class HistoryVerbs:
    """What the store can do with history. Each verb raises StorageError where the database fails."""

    _database: Database

    def prune_old(self, before: datetime, limit: int) -> int:
        """Remove runs that were created, and directives that came, before a moment; return how many.

        What is open stays.

        Args:
            limit: how many of each to remove at most, so that nobody waits for long.
        """
        with self._database.write() as connection:
            # Ids of runs sort by the moment of their creation, so that this looks at nothing else.
            old = sa.select(runs.c.run_id).where(runs.c.run_id < prefix_of(before), runs.c.state.not_in(OPEN))
            old = old.order_by(runs.c.run_id).limit(limit)
            removed = connection.execute(sa.delete(runs).where(runs.c.run_id.in_(old))).rowcount
            said = sa.select(directives.c.id).where(
                directives.c.received_at < before, directives.c.settled_at.is_not(None)
            )
            removed += connection.execute(sa.delete(directives).where(directives.c.id.in_(said.limit(limit)))).rowcount
            return removed

    def overfull(self, slugs: Collection[str], keep: int) -> list[str]:
        """Return those of some tasks that have more than ``keep`` runs."""
        counted = (
            sa.select(tasks.c.slug)
            .join_from(tasks, runs)
            .where(tasks.c.slug.in_(slugs))
            .group_by(tasks.c.slug)
            .having(sa.func.count() > keep)
        )
        with self._database.read() as connection:
            return sorted(connection.scalars(counted))

    def prune_surplus(self, slug: str, keep: int, limit: int) -> int:
        """Remove the oldest runs of a task, ``limit`` at most, as far as it has more than ``keep``; return how many.

        What is open stays.
        """
        owner = sa.select(tasks.c.id).where(tasks.c.slug == slug).scalar_subquery()
        surplus = sa.select(runs.c.run_id).where(runs.c.task_id == owner)
        surplus = surplus.order_by(runs.c.created_at.desc(), runs.c.run_id.desc()).limit(limit).offset(keep)
        gone = sa.delete(runs).where(runs.c.run_id.in_(surplus), runs.c.state.not_in(OPEN))
        with self._database.write() as connection:
            return connection.execute(gone).rowcount

    def newest_moment(self) -> datetime:
        """Return the latest moment that anything here is of; the clock must have been past it. EPOCH for nothing."""
        with self._database.read() as connection:
            newest_run = connection.scalar(sa.select(sa.func.max(runs.c.run_id)))
            others = [
                connection.scalar(sa.select(sa.func.max(column)))
                for column in (directives.c.received_at, tasks.c.created_at)
            ]
        run = moment_of(newest_run) if newest_run else None
        return max((moment for moment in (run, *others) if moment is not None), default=EPOCH)

    def turn_back(
        self, slug: str, now: datetime, schedule: Schedule, next_at: datetime | None, recount: Recount
    ) -> Task | None:
        """Let a task go on from ``now``, which lies before what was seen already; return it, None where it is gone.

        Occurrences that lie ahead again and never ran are no longer accounted for. Those that ran keep their rows, by
        which they do not run again.

        Args:
            recount: returns, for the first instant of a row that stands for several, how many of them are not ahead,
                and the last of those.
        """
        own = sa.select(tasks.c.id).where(tasks.c.slug == slug).scalar_subquery()
        mine = sa.and_(runs.c.task_id == own, runs.c.state.in_(_NEVER_RAN))
        spanning = sa.select(runs.c.run_id, runs.c.scheduled_for).where(
            mine, runs.c.scheduled_for <= now, runs.c.scheduled_until > now
        )
        following = sa.case((tasks.c.is_disabled, None), else_=sa.literal(next_at, tasks.c.next_at.type))
        change = sa.update(tasks).where(tasks.c.slug == slug).values(schedule=schedule.to_dict(), next_at=following)
        with self._database.write() as connection:
            connection.execute(sa.delete(runs).where(mine, runs.c.scheduled_for > now))
            for row in connection.execute(spanning).all():
                count, until = recount(row.scheduled_for)
                shrunk = sa.update(runs).where(runs.c.run_id == row.run_id)
                connection.execute(shrunk.values(count=count, scheduled_until=until if count > 1 else None))
            changed = connection.execute(change.returning(tasks)).mappings().one_or_none()
            return to_task(changed) if changed is not None else None
