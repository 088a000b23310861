"""Steps of several verbs of the store that belong together.

They are carried out on the ledger's thread, so that nothing comes between what they read and what they write; the
engine is the only writer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from keiji.errors import AlreadyRunning, StorageError
from keiji.policy import Overlap
from keiji.records import Pause, Run, RunResult, Task
from keiji.states import RunState, Trigger
from keiji_engine.scheduler.planner import Plan, is_kept_back
from keiji_engine.scheduler.reasons import no_slot
from keiji_engine.storage.store import Claim, Store

_CAN_START = frozenset({RunState.STARTING, RunState.QUEUED})


def settle_due(store: Store, plan: Plan, now: datetime) -> tuple[list[Run], list[Task]]:
    """Make a plan true as far as the ledger still is as the plan saw it; return the runs and tasks that changed.

    A directive may have disabled, paused, moved or deleted a task meanwhile, run it, or cancelled what was queued.
    Whatever is returned here is in the ledger, and whatever is in the ledger is returned, also where a later step
    fails.
    """
    tasks = {task.slug: task for task in store.tasks(plan.about)}
    open_runs = store.open_runs(plan.about)
    pause = store.pause()
    claims = _still_true(plan, tasks, open_runs, pause)
    runs = store.claim(claims, now)
    live = {run.task for run in open_runs if run.is_live}
    begun = {run.task for run in runs if run.is_live}
    with contextlib.suppress(StorageError):  # they stay queued, and their time comes a moment later
        for run in open_runs:
            task = tasks.get(run.task)
            if task is None or run.state is not RunState.QUEUED:
                continue
            if reason := dict(plan.give_up).get(run.run_id):
                runs.append(store.skip_queued(run.run_id, reason, now))
            elif run.run_id in plan.begin and _may_begin(run, task, pause, live | begun):
                runs.append(store.begin_queued(run.run_id, now))
                begun.add(run.task)
    moved = {claim.task: claim.next_at for claim in claims}
    return runs, [
        replace(task, next_at=moved.get(slug, task.next_at), last_at=now if slug in begun else task.last_at)
        for slug, task in tasks.items()
        if slug in moved or slug in begun
    ]


def _still_true(plan: Plan, tasks: dict[str, Task], open_runs: Sequence[Run], pause: Pause | None) -> list[Claim]:
    """Return the claims of tasks of which nothing has changed that mattered; the others are planned anew."""
    first: dict[str, datetime] = {}
    for claim in plan.claims:
        first[claim.task] = min(first.get(claim.task, claim.scheduled_for), claim.scheduled_for)
    changed = {run.task for run in open_runs if run.run_id not in plan.seen}
    changed |= {slug for slug, task in tasks.items() if task.next_at != first.get(slug)}
    starts = {claim.task for claim in plan.claims if claim.state in _CAN_START}
    changed |= {slug for slug in starts if slug in tasks and is_kept_back(tasks[slug], pause)}
    return [claim for claim in plan.claims if claim.task in tasks and claim.task not in changed]


def _may_begin(run: Run, task: Task, pause: Pause | None, busy: set[str]) -> bool:
    if is_kept_back(task, pause) and run.trigger is not Trigger.MANUAL:
        return False
    return task.policy.overlap is Overlap.ALLOW or task.slug not in busy


def request(store: Store, slug: str, now: datetime, max_parallel: int | None) -> tuple[Run, Task]:
    """Add a run that somebody asked for; where all slots are taken, it waits for one.

    Raises:
        AlreadyRunning: the task has a live run, and its policy allows none beside it.
        NotBuilt: it has no build.
    """
    task = store.task(slug)
    open_runs = store.open_runs()
    live = [run for run in open_runs if run.is_live]
    own = [run for run in live if run.task == slug]
    policy = task.policy
    if own and policy.overlap is not Overlap.ALLOW:
        raise AlreadyRunning(f"{slug} is running already (run {own[0].run_id})", hint=f"keiji task stop {slug}")
    if policy.max_parallel is not None and len(own) >= policy.max_parallel:
        raise AlreadyRunning(
            f"{slug} is running already, {len(own)} times, as often as its policy allows",
            hint=f"keiji task stop {slug}",
        )
    reason, state = "", RunState.STARTING
    if max_parallel is not None and len(live) >= max_parallel:
        state = RunState.QUEUED
        reason = no_slot(max_parallel)
    run = store.request_run(slug, trigger=Trigger.MANUAL, now=now, state=state, reason=reason)
    return run, store.task(slug)


def live(store: Store, slug: str) -> list[Run]:
    """Return the runs of a task that have, or are about to have, a process."""
    return [run for run in store.open_runs([slug]) if run.is_live]


def live_ids(store: Store, slug: str) -> set[str]:
    """Return the ids of `live`."""
    return {run.run_id for run in live(store, slug)}


def finish(store: Store, result: RunResult, retry_at: datetime | None) -> tuple[Run, Run | None, Task]:
    """Record how a run ended; return it, its retry where there is to be one, and the task as it is now."""
    run, retry = store.finish(result, retry_at=retry_at)
    return run, retry, store.task(run.task)
