"""Which of a task's due instants run, and what becomes of the others. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from keiji.policy import CatchUp
from keiji.records import Task
from keiji.states import RunState
from keiji_engine.scheduler.reasons import short
from keiji_engine.storage.store import Claim

ON_TIME = timedelta(seconds=60)  # an engine that is busy is late by this at most; what is later was not noticed in time
NAMED = 100  # so many instants of a task get a row each; older ones share one
MOST_AT_ONCE = 20_000  # so many are looked at before somebody else has a turn
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Due:
    """What is due of a task.

    Args:
        chosen: the instants that are to run, in order.
        passed: a claim for each of the others, or for several of them.
        next_at: the task's next instant after all of them.
    """

    chosen: tuple[datetime, ...]
    passed: tuple[Claim, ...]
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Account:
    """All instants of a task from its next one to ``now``, waiting to be accounted for.

    Args:
        older, oldest, last_older: how many share a row, and the first and the last of them.
        named: the others, in order.
        next_at: what comes after.
    """

    task: Task
    older: int
    oldest: datetime | None
    last_older: datetime | None
    named: tuple[datetime, ...]
    next_at: datetime | None

    def claim(self, instant: datetime, state: RunState, reason: str, **more: object) -> Claim:
        """Return the claim that accounts for one instant."""
        return Claim(
            task=self.task.slug,
            scheduled_for=instant,
            next_at=self.next_at,
            state=state,
            reason=reason,
            build=self.task.build,
            **more,  # type: ignore[arg-type]
        )

    def claim_older(self, state: RunState, reason: str, *, but: datetime | None = None) -> list[Claim]:
        """Return the claim, if there is anything to claim, for those that share a row; ``but`` one that runs."""
        first, count = self.oldest, self.older
        if but is not None:
            count -= 1
            if but == first and self.task.schedule is not None:
                first = self.task.schedule.next_after(but)
        if count < 1 or first is None:
            return []
        until = self.last_older if count > 1 else None
        return [self.claim(first, state, reason, count=count, scheduled_until=until)]

    def all_as(self, state: RunState, reason: str) -> tuple[Claim, ...]:
        """Return claims that give every instant the same end."""
        return (*self.claim_older(state, reason), *(self.claim(each, state, reason) for each in self.named))


def account(task: Task, now: datetime) -> Account:
    """Return what of a task, which has a schedule and is due, is to be accounted for at ``now``."""
    assert task.schedule is not None
    assert task.next_at is not None
    newest = max(NAMED, task.policy.catch_up_cap)
    found = task.schedule.stretch(task.next_at, now, newest=newest, most=MOST_AT_ONCE)
    following = found.following or task.schedule.next_after(max(now, found.newest[-1]))
    return Account(task, found.older, found.oldest, found.last_older, found.newest, following)


def unstarted(task: Task, now: datetime, state: RunState, reason: str) -> tuple[Claim, ...]:
    """Return claims for whatever is due of a task by ``now``, none of which is to run."""
    if task.schedule is None or task.next_at is None or task.next_at > now:
        return ()
    return account(task, now).all_as(state, reason)


def chosen(task: Task, now: datetime, zone: tzinfo) -> Due:
    """Choose what runs of a task that is due, as its policy for catching up says. Reasons give times in ``zone``."""
    due = account(task, now)
    policy = task.policy
    if policy.catch_up is CatchUp.NONE:
        kept, late = _split(due.named, now - ON_TIME)
        reason = "it was not noticed in time, and the policy is to catch up with none"
    else:
        window = policy.catch_up_window
        limit = None if window is None else now - max(timedelta(seconds=window), ON_TIME)
        kept, late = _split(due.named, limit)
        reason = (
            f"it was not noticed in time, and longer ago than the {window:g} s of catch_up_window" if window else ""
        )
    missed = [due.claim(instant, RunState.MISSED, reason) for instant in late]
    if policy.catch_up is CatchUp.ALL:
        kept, cut = kept[-policy.catch_up_cap :], kept[: -policy.catch_up_cap]
        why = f"it was not noticed in time, and {policy.catch_up_cap} later ones are caught up with (catch_up_cap)"
        missed += [due.claim(instant, RunState.MISSED, why) for instant in cut]
        older = due.claim_older(RunState.MISSED, reason or why)
        return Due(kept, (*older, *missed), due.next_at)
    first = _earliest(due, now) if policy.catch_up is CatchUp.EARLIEST else None
    run = first or (kept[0] if kept and policy.catch_up is CatchUp.EARLIEST else kept[-1] if kept else None)
    stands = f"it was not noticed in time; the one of {short(run, zone)} stands for it" if run else reason
    coalesced = [due.claim(instant, RunState.COALESCED, stands) for instant in kept if instant != run]
    is_older_missed = bool(late) or run is None or policy.catch_up is CatchUp.NONE
    older = due.claim_older(
        RunState.MISSED if is_older_missed else RunState.COALESCED, reason if is_older_missed else stands, but=first
    )
    return Due((run,) if run else (), (*older, *missed, *coalesced), due.next_at)


def _split(instants: tuple[datetime, ...], limit: datetime | None) -> tuple[tuple[datetime, ...], tuple[datetime, ...]]:
    """Return the instants from ``limit`` on, and those before."""
    if limit is None:
        return instants, ()
    return tuple(i for i in instants if i >= limit), tuple(i for i in instants if i < limit)


def _earliest(due: Account, now: datetime) -> datetime | None:
    """Return the earliest instant that may still run, where it is among those that share a row."""
    if due.oldest is None or due.last_older is None or due.task.schedule is None:
        return None
    window = due.task.policy.catch_up_window
    if window is None:
        return due.oldest
    limit = now - max(timedelta(seconds=window), ON_TIME)
    if due.oldest >= limit:
        return due.oldest
    found = due.task.schedule.next_after(limit - _TICK)
    return found if found is not None and found <= due.last_older else None
