"""Steps of several verbs of the store that belong together.

They are carried out on the ledger's thread, so that nothing comes between what they read and what they write; the
engine is the only writer.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import datetime

from keiji.errors import AlreadyRunning, StorageError
from keiji.records import Run, RunResult, Task
from keiji.states import RunState, Trigger
from keiji_engine.scheduler.planner import Plan
from keiji_engine.storage.store import Claim, Store


def settle_due(store: Store, plan: Plan, now: datetime) -> tuple[list[Run], list[Task]]:
    """Make a plan true as far as the ledger still is as the plan saw it; return the runs and tasks that changed.

    A directive may have disabled, moved or deleted a task meanwhile, run it, or cancelled what was queued. Whatever
    is returned here is in the ledger, and whatever is in the ledger is returned, also where a later step fails.
    """
    tasks = {task.slug: task for task in store.tasks()}
    open_runs = store.open_runs()
    running = {run.task for run in open_runs if run.is_live}
    first = {claim.task: claim.scheduled_for for claim in reversed(plan.claims)}
    current = {slug for slug, due in first.items() if slug in tasks and tasks[slug].next_at == due}
    claims = [_unless_running(claim, running) for claim in plan.claims if claim.task in current]
    runs = store.claim(claims, now)
    begun = {run.task for run in runs if run.is_live}
    due = [run for run in open_runs if run.run_id in plan.begin and run.state == RunState.QUEUED]
    with contextlib.suppress(StorageError):  # they stay queued, and are begun a moment later
        for run in due:
            if run.task not in running | begun and not tasks[run.task].is_disabled:
                runs.append(store.begin_queued(run.run_id, now))
                begun.add(run.task)
    moved = {claim.task: claim.next_at for claim in claims}
    return runs, [
        replace(task, next_at=moved.get(slug, task.next_at), last_at=now if slug in begun else task.last_at)
        for slug, task in tasks.items()
        if slug in first or slug in begun
    ]


def _unless_running(claim: Claim, running: set[str]) -> Claim:
    if claim.state == RunState.STARTING and claim.task in running:
        return replace(claim, state=RunState.SKIPPED, reason="it was already running")
    return claim


def request(store: Store, slug: str, now: datetime) -> tuple[Run, Task]:
    """Add a run that somebody asked for. Raises AlreadyRunning where the task has a live one, NotBuilt."""
    for run in live(store, slug):
        raise AlreadyRunning(f"{slug} is running already (run {run.run_id})", hint=f"keiji task stop {slug}")
    run = store.request_run(slug, trigger=Trigger.MANUAL, now=now)
    return run, store.task(slug)


def live(store: Store, slug: str) -> list[Run]:
    """Return the runs of a task that have, or are about to have, a process."""
    return [run for run in store.open_runs() if run.task == slug and run.is_live]


def live_ids(store: Store, slug: str) -> set[str]:
    """Return the ids of `live`."""
    return {run.run_id for run in live(store, slug)}


def finish(store: Store, result: RunResult, retry_at: datetime | None) -> tuple[Run, Run | None, Task]:
    """Record how a run ended; return it, its retry where there is to be one, and the task as it is now."""
    run, retry = store.finish(result, retry_at=retry_at)
    return run, retry, store.task(run.task)
