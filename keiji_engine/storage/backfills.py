"""Backfills: their range, how far they are, and how many of their runs have ended.

A backfill moves on in the transaction that claims its runs, and counts a run in the transaction that records its end.
Whatever is killed in between, no instant runs twice and none is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from keiji.errors import BackfillNotFound, BackfillRunning
from keiji.records import Backfill, Overrides, ParamValue, Run
from keiji.schedule import Schedule
from keiji.states import BackfillState, RunState
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.rows import from_request, readable, to_backfill
from keiji_engine.storage.tables import backfills, tasks
from keiji_engine.storage.tasks import TaskRepository

_WITH_SLUG = sa.select(backfills, tasks.c.slug).join_from(backfills, tasks)


class BackfillRepository:
    """Backfills in one transaction."""

    def __init__(self, connection: sa.Connection, changes: Changes, task_rows: TaskRepository) -> None:
        self._connection = connection
        self._changes = changes
        self._tasks = task_rows

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────

    def create(
        self,
        slug: str,
        schedule: Schedule,
        first: datetime,
        last: datetime,
        now: datetime,
        *,
        total: int,
        parallel: int = 1,
        again: bool = False,
        by: str = "",
        params: Mapping[str, ParamValue] | None = None,
        overrides: Overrides | None = None,
    ) -> Backfill:
        """Add a backfill from ``first`` to ``last``, which are instants of ``schedule``, in a series of its own.

        Raises:
            TaskNotFound: there is no such task.
            BackfillRunning: the task has a backfill that is running.
        """
        task = self._tasks.get(slug)
        series = self._tasks.next_series(slug)  # it locks the row of the task
        self._require_none_running(slug)
        values = {
            "task_id": task.id,
            "series": series,
            "first": first,
            "last": last,
            "schedule": schedule.to_dict(),
            "parallel": parallel,
            "again": again,
            "state": BackfillState.RUNNING,
            "next_at": first,
            "total": total,
            "skipped": 0,
            "claimed": 0,
            "succeeded": 0,
            "failed": 0,
            "created_at": now,
            "created_by": by,
            **from_request(params or {}, overrides),
        }
        row = self._connection.execute(sa.insert(backfills).values(values).returning(backfills)).mappings().one()
        return self._record(to_backfill(row, slug))

    def advance(
        self, backfill: Backfill, next_at: datetime | None, *, claimed: int, skipped: int, now: datetime
    ) -> None:
        """Record that instants before ``next_at`` have runs now, or are skipped. The backfill must be locked."""
        self._update(
            replace(backfill, next_at=next_at, claimed=backfill.claimed + claimed, skipped=backfill.skipped + skipped),
            now,
        )

    def count_end(self, run: Run, now: datetime) -> None:
        """Count a run of a backfill that has ended, and is not retried."""
        query = _WITH_SLUG.where(tasks.c.slug == run.task, backfills.c.series == run.series)
        row = self._connection.execute(query.with_for_update(of=backfills)).mappings().one_or_none()
        if row is None:  # the history of backfills was pruned
            return
        backfill = to_backfill(row, run.task)
        if run.state is RunState.SUCCEEDED:
            self._update(replace(backfill, succeeded=backfill.succeeded + 1), now)
        else:
            self._update(replace(backfill, failed=backfill.failed + 1), now)

    def stop(self, backfill_id: int, now: datetime) -> Backfill:
        """Stop a running backfill: no further instant starts. Raises BackfillNotFound."""
        backfill = self._locked(backfill_id)
        if backfill.state is not BackfillState.RUNNING:
            return backfill
        return self._update(replace(backfill, state=BackfillState.STOPPED, finished_at=now), now)

    def resume(self, backfill_id: int, now: datetime) -> Backfill:
        """Continue a stopped backfill where it was stopped.

        Raises:
            BackfillNotFound: there is no such backfill.
            BackfillRunning: the task has another backfill that is running.
        """
        backfill = self._locked(backfill_id)
        if backfill.state is not BackfillState.STOPPED:
            return backfill
        self._tasks.lock([backfill.task])
        self._require_none_running(backfill.task)
        return self._update(replace(backfill, state=BackfillState.RUNNING, finished_at=None), now)

    # ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, backfill_id: int) -> Backfill:
        """Return a backfill. Raises BackfillNotFound."""
        row = self._connection.execute(_WITH_SLUG.where(backfills.c.id == backfill_id)).mappings().one_or_none()
        if row is None:
            raise BackfillNotFound.with_id(backfill_id)
        return to_backfill(row, row["slug"])

    def running(self) -> list[Backfill]:
        """Return the backfills that are running, oldest first."""
        query = _WITH_SLUG.where(backfills.c.state == BackfillState.RUNNING).order_by(backfills.c.id)
        return list(readable(self._connection.execute(query).mappings(), lambda row: to_backfill(row, row["slug"])))

    def latest(self, limit: int, slug: str | None = None) -> list[Backfill]:
        """Return the newest backfills of a task or of all tasks, newest first."""
        query = _WITH_SLUG.order_by(backfills.c.id.desc()).limit(limit)
        if slug is not None:
            query = query.where(tasks.c.slug == slug)
        return list(readable(self._connection.execute(query).mappings(), lambda row: to_backfill(row, row["slug"])))

    def lock_running(self, backfill_id: int) -> Backfill | None:
        """Return a backfill that is running, with its row locked until the transaction ends; None if it is not."""
        query = _WITH_SLUG.where(backfills.c.id == backfill_id, backfills.c.state == BackfillState.RUNNING)
        row = self._connection.execute(query.with_for_update(of=backfills)).mappings().one_or_none()
        return to_backfill(row, row["slug"]) if row is not None else None

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _require_none_running(self, slug: str) -> None:
        query = sa.select(backfills.c.id).join_from(backfills, tasks)
        query = query.where(tasks.c.slug == slug, backfills.c.state == BackfillState.RUNNING).limit(1)
        running: int | None = self._connection.scalar(query)
        if running is not None:
            raise BackfillRunning.named(slug, running)

    def _locked(self, backfill_id: int) -> Backfill:
        query = _WITH_SLUG.where(backfills.c.id == backfill_id).with_for_update(of=backfills)
        row = self._connection.execute(query).mappings().one_or_none()
        if row is None:
            raise BackfillNotFound.with_id(backfill_id)
        return to_backfill(row, row["slug"])

    def _update(self, backfill: Backfill, now: datetime) -> Backfill:
        if backfill.state is BackfillState.RUNNING and backfill.next_at is None and not backfill.open:
            backfill = replace(backfill, state=BackfillState.DONE, finished_at=now)
        values: dict[str, Any] = {
            name: getattr(backfill, name)
            for name in ("state", "next_at", "claimed", "skipped", "succeeded", "failed", "finished_at")
        }
        self._connection.execute(sa.update(backfills).where(backfills.c.id == backfill.id).values(values))
        return self._record(backfill)

    def _record(self, backfill: Backfill) -> Backfill:
        self._changes.backfills[backfill.id] = backfill
        return backfill
