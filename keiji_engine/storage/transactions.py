"""A transaction: the repositories on one connection, and the changes that it made.

A function that must see one consistent state of the database takes a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa

from keiji.errors import AlreadyRunning, RunNotFound
from keiji.policy import Overlap
from keiji.reasons import Code, Reason, reason
from keiji.records import Overrides, ParamValue, Run, RunOrigin, Task
from keiji.states import REQUESTED, RunState, Trigger
from keiji_engine.storage.backfills import BackfillRepository
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.directives import DirectiveRepository
from keiji_engine.storage.history import HistoryRepository
from keiji_engine.storage.ids import RunIds
from keiji_engine.storage.revisions import Revisions
from keiji_engine.storage.runs import RunRepository
from keiji_engine.storage.system_state import SystemStateRepository
from keiji_engine.storage.tasks import TaskRepository

T = TypeVar("T")


class Transaction:
    """The repositories, and the changes made through them.

    Args:
        revisions: those of earlier transactions.
        origin: recorded with each run that is claimed to be started.
    """

    def __init__(
        self, connection: sa.Connection, ids: RunIds, revisions: Revisions, origin: RunOrigin | None = None
    ) -> None:
        self.changes = Changes()
        self.revisions = revisions
        self.tasks = TaskRepository(connection, self.changes)
        self.backfills = BackfillRepository(connection, self.changes, self.tasks)
        self.runs = RunRepository(connection, self.changes, ids, self.tasks, self.backfills, origin=origin)
        self.history = HistoryRepository(connection, self.changes)
        self.directives = DirectiveRepository(connection, self.changes)
        self.system = SystemStateRepository(connection, self.changes)


# An operation may be executed again in another transaction: it must have no effect but on the transaction.
Operation = Callable[[Transaction], object]
Query = Callable[[Transaction], T]


def request_run(
    slug: str,
    now: datetime,
    max_parallel: int | None,
    *,
    params: Mapping[str, ParamValue] | None = None,
    overrides: Overrides | None = None,
) -> Query[Run]:
    """Return the operation that adds a manual run. It starts, or waits as an occurrence would by the policy.

    While all slots are taken, it waits, too. A run that replaces the live ones waits until the scheduler has stopped
    them. It raises:

        AlreadyRunning: the task has a live run and skips overlapping ones, or its queue is full.
        NotBuilt: it has no build.
    """

    def insert(transaction: Transaction, state: RunState, waits: Reason | None) -> Run:
        return transaction.runs.insert_manual(slug, now, state=state, reason=waits, params=params, overrides=overrides)

    return _request(slug, now, max_parallel, insert)


def request_rerun(slug: str, run_id: str, now: datetime, max_parallel: int | None) -> Query[Run]:
    """Return the operation that repeats a run, as `request_run` does with a manual run. It raises also:

    RunNotFound: the task has no such run.
    """

    def insert(transaction: Transaction, state: RunState, waits: Reason | None) -> Run:
        if transaction.runs.get(run_id).task != slug:
            raise RunNotFound.with_id(run_id)
        return transaction.runs.insert_rerun(run_id, now, state=state, reason=waits)

    return _request(slug, now, max_parallel, insert)


def _request(
    slug: str,
    now: datetime,
    max_parallel: int | None,
    insert: Callable[[Transaction, RunState, Reason | None], Run],
) -> Query[Run]:
    def request(transaction: Transaction) -> Run:
        task = transaction.tasks.get(slug)
        own = transaction.runs.open([slug])
        waits = _waits_for_task(task, own)
        if waits is None and max_parallel is not None and transaction.runs.count_live() >= max_parallel:
            waits = reason(Code.WAITING_FOR_SLOT, limit=max_parallel)
        run = insert(transaction, RunState.STARTING if waits is None else RunState.QUEUED, waits)
        if task.policy.overlap is Overlap.REPLACE:
            for other in own:
                if other.state is RunState.QUEUED and other.trigger is not Trigger.BACKFILL:
                    transaction.runs.skip_queued(other.run_id, reason(Code.REPLACED, due=now, manual=True), now)
        return run

    return request


def _waits_for_task(task: Task, own: Sequence[Run]) -> Reason | None:
    """Return why a manual run waits for other open runs of its task; None if it does not. Raises AlreadyRunning."""
    policy, live = task.policy, [run for run in own if run.is_live]
    queued = [run for run in own if run.state is RunState.QUEUED and run.trigger is not Trigger.BACKFILL]
    if policy.overlap is Overlap.SKIP:
        regular = [run for run in live if run.trigger is not Trigger.BACKFILL]
        if regular:
            raise AlreadyRunning.once(task.slug, regular[0].run_id)
        requested = [run for run in queued if run.trigger in REQUESTED]
        if requested:
            raise AlreadyRunning.waiting(task.slug, requested[0].run_id)
        return reason(Code.WAITING_FOR_PREVIOUS) if live else None
    if policy.overlap is Overlap.REPLACE:
        return reason(Code.WAITING_FOR_PREVIOUS) if live else None
    if policy.overlap is Overlap.ALLOW:
        limit = policy.max_parallel
        waits = reason(Code.PARALLEL_LIMIT, live=len(live), limit=limit) if limit and len(live) >= limit else None
    else:
        waits = reason(Code.WAITING_FOR_PREVIOUS) if live else None
    if waits is not None and len(queued) >= policy.queue:
        raise AlreadyRunning.queue_full(task.slug, policy.queue)
    return waits
