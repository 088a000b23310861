"""What is due, and what is to happen to each due instant. Pure: the world and the time come in, decisions go out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from keiji.records import Run, Task
from keiji.states import RunState
from keiji_engine.storage.store import Claim


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done now.

    Args:
        claims: one for each due instant, or for a row of instants that a later one stands for.
        begin: ids of queued runs whose time has come.
        wake_at: the next instant at which anything is due; None when nothing is.
    """

    claims: tuple[Claim, ...]
    begin: tuple[str, ...]
    wake_at: datetime | None


def plan(
    tasks: Iterable[Task], open_runs: Sequence[Run], now: datetime, *, zone: tzinfo = UTC, can_run: bool = True
) -> Plan:
    """Decide about everything that is due at ``now``, in due order.

    A task whose last run has not ended, or waits to be tried again, skips. Of several instants that passed while
    nobody looked the latest one runs, and one row stands for the earlier ones. Where nothing can be run, what is due
    is missed, and what is queued waits. Reasons give times in ``zone``.
    """
    by_task: dict[str, Run] = {run.task: run for run in reversed(open_runs)}
    claims: list[Claim] = []
    wake: list[datetime] = []
    for task in sorted(tasks, key=lambda task: (task.next_at or now, task.slug)):
        if task.next_at is None or task.schedule is None:
            continue
        if task.next_at <= now:
            claims += _claims(task, by_task.get(task.slug), now, zone, can_run=can_run)
            following = claims[-1].next_at
        else:
            following = task.next_at
        if following is not None:
            wake.append(following)
    begin, waiting = _queued(open_runs, now) if can_run else ((), [])
    wake += waiting
    return Plan(tuple(claims), begin, min(wake, default=None))


def _claims(task: Task, open_run: Run | None, now: datetime, zone: tzinfo, *, can_run: bool) -> list[Claim]:
    assert task.schedule is not None
    assert task.next_at is not None
    count, latest = task.schedule.due_until(task.next_at, now)
    following = task.schedule.next_after(now)
    claims = []
    if count > 1:
        claims.append(
            Claim(
                task=task.slug,
                scheduled_for=task.next_at,
                next_at=following,
                state=RunState.COALESCED,
                reason=_coalesced(count - 1, latest.astimezone(zone)),
                build=task.build,
            )
        )
    state, reason = RunState.STARTING, ""
    if open_run is not None:
        state, reason = RunState.SKIPPED, _busy(open_run, task, zone)
    elif not can_run:
        state, reason = RunState.MISSED, "the runner was stopped"
    claims.append(
        Claim(task=task.slug, scheduled_for=latest, next_at=following, state=state, reason=reason, build=task.build)
    )
    return claims


def _coalesced(count: int, latest: datetime) -> str:
    what = "this occurrence was" if count == 1 else f"this and {count - 1} later occurrences were"
    return f"{what} not noticed in time; the one of {_short(latest)} stands for {'it' if count == 1 else 'them'}"


def _busy(run: Run, task: Task, zone: tzinfo) -> str:
    if run.state == RunState.QUEUED:
        when = f" at {_short(run.due_at.astimezone(zone))}" if run.due_at else ""
        return f"attempt {run.attempt} of {task.policy.retry.tries} is to come{when}"
    return f"still running since {_short((run.started_at or run.created_at).astimezone(zone))}"


def _short(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"


def _queued(open_runs: Sequence[Run], now: datetime) -> tuple[tuple[str, ...], list[datetime]]:
    """Return the queued runs to begin now, and when the others are due. One that is blocked waits for a nudge."""
    live = {run.task for run in open_runs if run.is_live}
    begin, waiting = [], []
    for run in sorted(open_runs, key=lambda run: (run.due_at or run.created_at, run.run_id)):
        if run.state != RunState.QUEUED or run.task in live:
            continue
        due_at = run.due_at or run.created_at
        if due_at <= now:
            begin.append(run.run_id)
            live.add(run.task)
        else:
            waiting.append(due_at)
    return tuple(begin), waiting
