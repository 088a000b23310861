"""A transaction: the repositories on one connection, and the changes that it made.

A function that must see one consistent state of the database takes a transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa

from keiji.errors import AlreadyRunning
from keiji.policy import Overlap
from keiji.reasons import Code, reason
from keiji.records import Run
from keiji.states import RunState
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.directives import DirectiveRepository
from keiji_engine.storage.history import HistoryRepository
from keiji_engine.storage.ids import RunIds
from keiji_engine.storage.runs import RunRepository
from keiji_engine.storage.system_state import SystemStateRepository
from keiji_engine.storage.tasks import TaskRepository

T = TypeVar("T")


class Transaction:
    """The repositories, and the changes made through them."""

    def __init__(self, connection: sa.Connection, ids: RunIds) -> None:
        self.changes = Changes()
        self.tasks = TaskRepository(connection, self.changes)
        self.runs = RunRepository(connection, self.changes, ids, self.tasks)
        self.history = HistoryRepository(connection, self.changes)
        self.directives = DirectiveRepository(connection, self.changes)
        self.system = SystemStateRepository(connection, self.changes)


# An operation may be executed again in another transaction: it must have no effect but on the transaction.
Operation = Callable[[Transaction], object]
Query = Callable[[Transaction], T]


def request_run(slug: str, now: datetime, max_parallel: int | None) -> Query[Run]:
    """Return the operation that adds a manual run; while all slots are taken, the run is queued.

    It raises:
        AlreadyRunning: the task has a live run, and its policy allows no other beside it.
        NotBuilt: it has no build.
    """

    def request(transaction: Transaction) -> Run:
        task = transaction.tasks.get(slug)
        live = [run for run in transaction.runs.open() if run.is_live]
        own = [run for run in live if run.task == slug]
        policy = task.policy
        if own and policy.overlap is not Overlap.ALLOW:
            raise AlreadyRunning.once(slug, own[0].run_id)
        if policy.max_parallel is not None and len(own) >= policy.max_parallel:
            raise AlreadyRunning.at_limit(slug, policy.max_parallel)
        if max_parallel is not None and len(live) >= max_parallel:
            waits = reason(Code.WAITING_FOR_SLOT, limit=max_parallel)
            return transaction.runs.insert_manual(slug, now, state=RunState.QUEUED, reason=waits)
        return transaction.runs.insert_manual(slug, now)

    return request
