"""Which of a task's due instants run, and what becomes of the others. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any

from keiji.policy import CatchUp
from keiji.records import Task
from keiji.schedule import Interval
from keiji.states import RunState
from keiji_engine.scheduler.reasons import short
from keiji_engine.storage.store import Claim

ON_TIME = timedelta(seconds=60)  # an engine that is busy is late by this at most; what is later was not noticed in time
NAMED = 100  # so many instants of a task get a row each; older ones share one
MOST_AT_ONCE = 20_000  # so many are counted in one go, which takes a quarter of a second; the others have another turn
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Instants of a task that wait to be accounted for.

    Args:
        named: the newest ones, in order; each gets a row.
        older, oldest, last_older: how many share a row, and the first and the last of them.
        next_at: what comes after all of them.
        is_cut: whether more are due already that are not counted here.
    """

    task: Task
    named: tuple[datetime, ...] = ()
    older: int = 0
    oldest: datetime | None = None
    last_older: datetime | None = None
    next_at: datetime | None = None
    is_cut: bool = False

    @property
    def cost(self) -> int:
        """How many instants had to be walked along; those of an interval are reckoned."""
        return len(self.named) + (0 if isinstance(self.task.schedule, Interval) else self.older)

    def split(self, limit: datetime) -> tuple[Backlog, Backlog]:
        """Return what lies before ``limit``, and what lies at it and after."""
        before = replace(self, named=tuple(instant for instant in self.named if instant < limit))
        after = replace(self, named=tuple(instant for instant in self.named if instant >= limit))
        nothing: dict[str, Any] = {"older": 0, "oldest": None, "last_older": None}
        if self.oldest is None or self.last_older is None or self.oldest >= limit:
            return replace(before, **nothing), after
        if self.last_older < limit:
            return before, replace(after, **nothing)
        assert self.task.schedule is not None
        found = self.task.schedule.range_until(self.oldest, limit - _TICK, keep_latest=1, max_count=MOST_AT_ONCE)
        count, last = found.earlier_count + 1, found.latest[-1]
        following = self.task.schedule.next_after(last)
        return replace(before, older=count, last_older=last), replace(after, older=self.older - count, oldest=following)

    def without_first(self) -> tuple[datetime, Backlog]:
        """Return the first instant, and what is left. There has to be one."""
        if self.oldest is None:
            return self.named[0], replace(self, named=self.named[1:])
        if self.older == 1:
            return self.oldest, replace(self, older=0, oldest=None, last_older=None)
        assert self.task.schedule is not None
        following = self.task.schedule.next_after(self.oldest)
        return self.oldest, replace(self, older=self.older - 1, oldest=following)

    def without_last(self, count: int) -> tuple[tuple[datetime, ...], Backlog]:
        """Return the last instants, ``count`` of them where there are as many with names, and what is left."""
        return self.named[-count:], replace(self, named=self.named[:-count])

    def all_as(self, state: RunState, reason: str) -> tuple[Claim, ...]:
        """Return claims that give every instant the same end."""
        claims = [self._claim(instant, state, reason) for instant in self.named]
        if self.older and self.oldest is not None:
            until = self.last_older if self.older > 1 else None
            claims.insert(0, self._claim(self.oldest, state, reason, count=self.older, scheduled_until=until))
        return tuple(claims)

    def _claim(self, instant: datetime, state: RunState, reason: str, **more: Any) -> Claim:
        return Claim(
            task=self.task.slug,
            scheduled_for=instant,
            next_at=self.next_at,
            state=state,
            reason=reason,
            build=self.task.build,
            **more,
        )


@dataclass(frozen=True, slots=True)
class Due:
    """What is due of a task.

    Args:
        chosen: the instants that are to run, in order.
        passed: a claim for each of the others, or for several of them.
        next_at: the task's next instant after all of them.
        cost: how many instants had to be looked at.
    """

    chosen: tuple[datetime, ...]
    passed: tuple[Claim, ...]
    next_at: datetime | None
    cost: int


def account(task: Task, now: datetime) -> Backlog:
    """Return what of a task, which has a schedule and is due, is to be accounted for at ``now``."""
    assert task.schedule is not None
    assert task.next_at is not None
    newest = max(NAMED, task.policy.catch_up_cap)
    found = task.schedule.range_until(task.next_at, now, keep_latest=newest, max_count=MOST_AT_ONCE)
    following = found.next_instant or task.schedule.next_after(max(now, found.latest[-1]))
    is_cut = found.next_instant is not None
    return Backlog(task, found.latest, found.earlier_count, found.first_earlier, found.last_earlier, following, is_cut)


def unstarted(task: Task, now: datetime, state: RunState, reason: str) -> tuple[Claim, ...]:
    """Return claims for what is due of a task by ``now``, none of which is to run."""
    if task.schedule is None or task.next_at is None or task.next_at > now:
        return ()
    return account(task, now).all_as(state, reason)


def chosen(task: Task, now: datetime, zone: tzinfo, *, is_continued: bool = False) -> Due:
    """Choose what runs of a task that is due, as its policy for catching up says. Reasons give times in ``zone``.

    Args:
        is_continued: whether an earlier part of the same long stop was accounted for already.
    """
    whole = account(task, now)
    missed, inside = _outside(whole, now)
    run, passed = _CHOICES[CatchUp(task.policy.catch_up)](inside, zone, is_continued)
    return Due(run, (*missed, *passed), whole.next_at, whole.cost)


def _outside(whole: Backlog, now: datetime) -> tuple[tuple[Claim, ...], Backlog]:
    """Return the claims for what is too long ago to be caught up with, and everything else."""
    policy = whole.task.policy
    if policy.catch_up is CatchUp.NONE:
        limit, why = now - ON_TIME, "and the policy is to catch up with none"
    elif policy.catch_up_window is not None:
        limit = now - max(timedelta(seconds=policy.catch_up_window), ON_TIME)
        why = f"and longer ago than the {policy.catch_up_window:g} s of catch_up_window"
    else:
        return (), whole
    outside, inside = whole.split(limit)
    return outside.all_as(RunState.MISSED, f"it was not noticed in time, {why}"), inside


_Choice = tuple[tuple[datetime, ...], tuple[Claim, ...]]


def _latest(inside: Backlog, zone: tzinfo, _: bool) -> _Choice:
    if inside.is_cut:  # the latest is yet to come
        return (), inside.all_as(RunState.COALESCED, "it was not noticed in time; a later one stands for it")
    run, others = inside.without_last(1)
    return run, others.all_as(RunState.COALESCED, _stands(run, zone))


def _earliest(inside: Backlog, zone: tzinfo, is_continued: bool) -> _Choice:
    if is_continued or not (inside.named or inside.older):
        return (), inside.all_as(RunState.COALESCED, "it was not noticed in time; an earlier one stands for it")
    run, others = inside.without_first()
    return (run,), others.all_as(RunState.COALESCED, _stands((run,), zone))


def _all(inside: Backlog, _: tzinfo, __: bool) -> _Choice:
    cap = inside.task.policy.catch_up_cap
    run, others = ((), inside) if inside.is_cut else inside.without_last(cap)
    why = f"it was not noticed in time, and no more than the {cap} newest are caught up with (catch_up_cap)"
    return run, others.all_as(RunState.MISSED, why)


_CHOICES = {CatchUp.LATEST: _latest, CatchUp.NONE: _latest, CatchUp.EARLIEST: _earliest, CatchUp.ALL: _all}


def _stands(run: tuple[datetime, ...], zone: tzinfo) -> str:
    return f"it was not noticed in time; the one of {short(run[0], zone)} stands for it" if run else ""
