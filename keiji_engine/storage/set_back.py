"""Rows ahead of the clock, as there are after it was set back.

An instant that ran does not run again. A row of instants that never started stays until they are reached again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from keiji.records import Claim, Task
from keiji.schedule import Schedule
from keiji.states import NEVER_STARTED
from keiji_engine.storage.tables import runs

_TICK = timedelta(microseconds=1)
_MAX_COUNTED = 20_000  # instants of a row that is divided; the rest is attributed to the part that is ahead
_BATCH = 1000
_RANDOM_DIGITS = 12  # at the end of the id of a run


def next_not_run(
    connection: sa.Connection, task_id: int, schedule: Schedule, next_at: datetime | None
) -> datetime | None:
    """Return the first instant of a schedule from ``next_at``, which is one, that has not run."""
    while next_at is not None:
        ran = _ran(task_id).where(runs.c.scheduled_for >= next_at).order_by(runs.c.scheduled_for).limit(_BATCH)
        instants = set(connection.scalars(ran))
        if next_at not in instants:
            break
        while next_at in instants:
            next_at = schedule.next_after(next_at)
    return next_at


def reach_again(connection: sa.Connection, task: Task, claims: Sequence[Claim]) -> list[Claim]:
    """Prepare the rows of a task for claims, which are in order and may be for instants that have rows.

    Rows of instants that never started give way. Returns the claims; those for several instants leave out what ran.
    """
    _release(connection, task, claims[0].scheduled_for, claims[-1].scheduled_until or claims[-1].scheduled_for)
    return [each for claim in claims if (each := _without_ran(connection, task, claim)) is not None]


def _release(connection: sa.Connection, task: Task, first: datetime, last: datetime) -> None:
    """Remove the instants from ``first`` to ``last`` from the rows that account for them without a run."""
    assert task.schedule is not None
    if task.schedule.anchored_step:
        first = first - task.schedule.anchored_step + _TICK  # it counted from another moment before
    ends = sa.func.coalesce(runs.c.scheduled_until, runs.c.scheduled_for)
    own = sa.and_(runs.c.task_id == task.id, runs.c.series == 0, runs.c.attempt == 1)
    unstarted = sa.and_(own, runs.c.state.in_(NEVER_STARTED))
    affected = sa.select(runs).where(unstarted, runs.c.scheduled_for <= last, ends >= first)
    for row in connection.execute(affected).mappings().all():
        connection.execute(sa.delete(runs).where(runs.c.run_id == row["run_id"]))
        if row["count"] > 1:
            for part in _split(task.schedule, row, first, last):
                connection.execute(sa.insert(runs).values(part))


def _split(schedule: Schedule, row: sa.RowMapping, first: datetime, last: datetime) -> Iterator[dict[str, Any]]:
    """Yield the rows for the instants of a row before ``first`` and after ``last``."""
    # The former instants of an interval lie on another grid.
    schedule = schedule.with_context(replace(schedule.context, anchor=row["scheduled_for"]))
    begin, until, count = row["scheduled_for"], row["scheduled_until"], row["count"]
    if begin < first:
        before = schedule.range_until(begin, first - _TICK, keep_latest=1, max_count=_MAX_COUNTED)
        yield _part(row, row["run_id"], begin, before.latest[-1], before.earlier_count + 1)
        count -= before.earlier_count + 1
    released = schedule.next_after(first - _TICK) if begin < first else begin
    if released is not None and released <= last:
        count -= schedule.range_until(released, last, keep_latest=1, max_count=_MAX_COUNTED).earlier_count + 1
    following = schedule.next_after(last)
    if following is not None and following <= until:
        own_id = f"{row['run_id'][:-_RANDOM_DIGITS]}{secrets.token_hex(_RANDOM_DIGITS // 2)}"
        yield _part(row, own_id, following, until, max(count, 1))


def _part(row: sa.RowMapping, run_id: str, first: datetime, last: datetime, count: int) -> dict[str, Any]:
    until = last if count > 1 else None
    return {**row, "run_id": run_id, "scheduled_for": first, "scheduled_until": until, "count": count}


def _without_ran(connection: sa.Connection, task: Task, claim: Claim) -> Claim | None:
    if claim.scheduled_until is None:
        return claim  # the unique key keeps it from running again
    assert task.schedule is not None
    own = runs.c.scheduled_for.between(claim.scheduled_for, claim.scheduled_until)
    ran = set(connection.scalars(_ran(task.id).where(own)))
    if not ran:
        return claim
    first: datetime | None = claim.scheduled_for
    while first is not None and first in ran:
        first = task.schedule.next_after(first)
    count = claim.count - len(ran)
    if first is None or first > claim.scheduled_until or count < 1:
        return None
    return replace(
        claim, scheduled_for=first, count=count, scheduled_until=claim.scheduled_until if count > 1 else None
    )


def _ran(task_id: int) -> sa.Select[tuple[datetime]]:
    return sa.select(runs.c.scheduled_for).where(
        runs.c.task_id == task_id,
        runs.c.series == 0,
        runs.c.state.not_in(NEVER_STARTED),
        runs.c.attempt == 1,
    )
