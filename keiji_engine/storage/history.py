"""Verbs about what is past: what is kept of it, and what becomes of it when the clock is set back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from keiji.records import Run, Task
from keiji.schedule import EPOCH, Schedule
from keiji.states import NEVER_STARTED, OPEN, RunState
from keiji_engine.storage.database import Database
from keiji_engine.storage.ids import moment_of, prefix_of
from keiji_engine.storage.rows import to_run, to_task
from keiji_engine.storage.tables import directives, runs, tasks

Recount = Callable[[datetime], tuple[int, datetime]]


@dataclass(frozen=True, slots=True)
class SetBack:
    """How a task goes on after the clock was set back.

    Args:
        next_at: as it was; where it is another one by now, the task has been moved already.
        schedule, following: by which it goes on, and when it is due next.
        recount: returns, for the first instant of a row that stands for several, how many of them are not ahead, and
            the last of those.
    """

    slug: str
    next_at: datetime | None
    schedule: Schedule
    following: datetime | None
    recount: Recount


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

    def apply_set_back(self, now: datetime, moves: Sequence[SetBack]) -> list[Task]:
        """Let tasks go on from ``now``, which lies before what was seen already; return those that do.

        Occurrences that lie ahead again and never ran are no longer accounted for. Those that ran keep their rows, by
        which they do not run again. A task that somebody has moved meanwhile is left alone.
        """
        with self._database.write() as connection:
            return [task for move in moves if (task := _turned_back(connection, now, move)) is not None]

    def hasten_queued(self, now: datetime, seen: datetime) -> list[Run]:
        """After the clock was set back from ``seen`` to ``now``, let nothing wait longer than it would.

        Returns the runs that changed.
        """
        waiting = sa.select(runs, tasks.c.slug).join_from(runs, tasks)
        waiting = waiting.where(runs.c.state == RunState.QUEUED, runs.c.due_at > now)
        with self._database.write() as connection:
            found = connection.execute(waiting).mappings().all()
            hastened = []
            for row in found:
                due_at = max(row["due_at"] - (seen - now), now)
                change = sa.update(runs).where(runs.c.run_id == row["run_id"]).values(due_at=due_at).returning(runs)
                hastened.append(to_run(connection.execute(change).mappings().one(), row["slug"]))
            return hastened

    def rows_ahead(self, slug: str, moment: datetime) -> set[datetime]:
        """Return the instants of a task after ``moment`` that have a row: the clock was past them before."""
        own = sa.select(runs.c.scheduled_for).join_from(runs, tasks)
        with self._database.read() as connection:
            return set(connection.scalars(own.where(tasks.c.slug == slug, runs.c.scheduled_for > moment)))


def _turned_back(connection: sa.Connection, now: datetime, move: SetBack) -> Task | None:
    task = connection.execute(sa.select(tasks).where(tasks.c.slug == move.slug).with_for_update()).mappings().first()
    if task is None or task["next_at"] != move.next_at:
        return None
    mine = sa.and_(runs.c.task_id == task["id"], runs.c.state.in_(NEVER_STARTED))
    connection.execute(sa.delete(runs).where(mine, runs.c.scheduled_for > now))
    spanning = sa.select(runs.c.run_id, runs.c.scheduled_for).where(
        mine, runs.c.scheduled_for <= now, runs.c.scheduled_until > now
    )
    for row in connection.execute(spanning).all():
        count, until = move.recount(row.scheduled_for)
        shrunk = sa.update(runs).where(runs.c.run_id == row.run_id)
        connection.execute(shrunk.values(count=count, scheduled_until=until if count > 1 else None))
    change = sa.update(tasks).where(tasks.c.id == task["id"]).returning(tasks)
    change = change.values(schedule=move.schedule.to_dict(), next_at=move.following)
    return to_task(connection.execute(change).mappings().one())
