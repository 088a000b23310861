"""The backlog of a task after downtime: which instants run, and what is recorded for the others. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from keiji.policy import CatchUp
from keiji.reasons import Code, Reason, reason
from keiji.records import Claim, Task
from keiji.schedule import Interval
from keiji.states import RunState

LATE_AFTER = timedelta(seconds=60)  # a busy engine is late by less; an instant that is later was missed
INDIVIDUAL_ROWS = 100  # the newest instants of a gap get a row each; the older ones share a row
MAX_INSTANTS = 5_000  # counted per plan, which takes 60 ms; the rest follows in the next plan
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Due instants of a task that are not accounted for yet.

    Args:
        newest: the newest instants, in order; each gets a row. Empty if the backlog is truncated.
        older: number of instants before those, which share a row, also with those of earlier plans.
        oldest, last_older: the first and the last of the older ones; None if there are none.
        next_at: the next due instant after all of them.
        is_truncated: whether more instants are due that are not counted here.
    """

    task: Task
    newest: tuple[datetime, ...] = ()
    older: int = 0
    oldest: datetime | None = None
    last_older: datetime | None = None
    next_at: datetime | None = None
    is_truncated: bool = False

    @property
    def cost(self) -> int:
        """Number of instants that had to be iterated; those of an interval are computed."""
        return len(self.newest) + (0 if isinstance(self.task.schedule, Interval) else self.older)

    def split(self, limit: datetime) -> tuple[Backlog, Backlog]:
        """Return the instants before ``limit``, and the others."""
        before = replace(self, newest=tuple(instant for instant in self.newest if instant < limit))
        after = replace(self, newest=tuple(instant for instant in self.newest if instant >= limit))
        none_older: dict[str, Any] = {"older": 0, "oldest": None, "last_older": None}
        if self.oldest is None or self.last_older is None or self.oldest >= limit:
            return replace(before, **none_older), after
        if self.last_older < limit:
            return before, replace(after, **none_older)
        assert self.task.schedule is not None
        found = self.task.schedule.range_until(self.oldest, limit - _TICK, keep_latest=1, max_count=MAX_INSTANTS)
        count, last = found.earlier_count + 1, found.latest[-1]
        first_after = self.task.schedule.next_after(last)
        return (
            replace(before, older=count, last_older=last),
            replace(after, older=self.older - count, oldest=first_after),
        )

    def split_first(self) -> tuple[datetime, Backlog]:
        """Return the first instant, and the others. There must be one."""
        if self.oldest is None:
            return self.newest[0], replace(self, newest=self.newest[1:])
        if self.older == 1:
            return self.oldest, replace(self, older=0, oldest=None, last_older=None)
        assert self.task.schedule is not None
        second = self.task.schedule.next_after(self.oldest)
        return self.oldest, replace(self, older=self.older - 1, oldest=second)

    def split_last(self, count: int) -> tuple[tuple[datetime, ...], Backlog]:
        """Return the last ``count`` of the newest instants, and the others."""
        return self.newest[-count:], replace(self, newest=self.newest[:-count])

    def claims(self, state: RunState, why: Reason | None) -> tuple[Claim, ...]:
        """Return claims that give every instant the same state and reason."""
        # There are more than that in `newest` if many were to be caught up, by ``catch_up_cap``.
        shared, named = self.newest[:-INDIVIDUAL_ROWS], self.newest[-INDIVIDUAL_ROWS:]
        count = self.older + len(shared)
        claims = [self._claim(instant, state, why) for instant in named]
        if count:
            first, last = self.oldest or shared[0], shared[-1] if shared else self.last_older
            until = last if count > 1 else None
            claims.insert(0, self._claim(first, state, why, count=count, scheduled_until=until, continues=True))
        return tuple(claims)

    def _claim(self, instant: datetime, state: RunState, why: Reason | None, **more: Any) -> Claim:
        return Claim(
            task=self.task.slug,
            scheduled_for=instant,
            next_at=self.next_at,
            state=state,
            reason=why,
            build=self.task.build,
            **more,
        )


@dataclass(frozen=True, slots=True)
class CatchUpSelection:
    """What happens to the backlog of a task.

    Args:
        runs: the instants that run, in order.
        claims: for the others, one each or for a range of them.
        next_at: the task's next due instant after all of them.
        cost: number of instants that had to be iterated.
    """

    runs: tuple[datetime, ...]
    claims: tuple[Claim, ...]
    next_at: datetime | None
    cost: int


def backlog_of(task: Task, now: datetime, max_instants: int = MAX_INSTANTS) -> Backlog:
    """Return the backlog at ``now`` of a task that has a schedule and is due.

    If there are more than ``max_instants``, only that many are counted besides the newest ones.
    """
    assert task.schedule is not None
    assert task.next_at is not None
    may_run = task.policy.catch_up_cap if task.policy.catch_up is CatchUp.ALL else 1
    newest = max(INDIVIDUAL_ROWS, may_run)
    found = task.schedule.range_until(task.next_at, now, keep_latest=newest, max_count=max_instants + newest)
    if found.next_instant is not None:
        # The last ones are left to the next plan, since they may be among the newest of the whole backlog.
        older, last_older = found.earlier_count, found.last_earlier
        return Backlog(task, (), older, task.next_at, last_older, found.latest[0], is_truncated=True)
    next_at = task.schedule.next_after(max(now, found.latest[-1]))
    return Backlog(task, found.latest, found.earlier_count, found.first_earlier, found.last_earlier, next_at)


def close_backlog(
    task: Task, now: datetime, state: RunState, why: Reason, max_instants: int = MAX_INSTANTS
) -> tuple[Claim, ...]:
    """Return claims for everything that is due at ``now`` and does not run."""
    if task.schedule is None or task.next_at is None or task.next_at > now:
        return ()
    return backlog_of(task, now, max_instants).claims(state, why)


def select_catch_up(
    task: Task, now: datetime, max_instants: int = MAX_INSTANTS, *, is_continued: bool = False
) -> CatchUpSelection:
    """Choose which due instants of a task run, by the catch-up rule of its policy.

    Args:
        is_continued: whether an earlier part of the same backlog was accounted for already.
    """
    backlog = backlog_of(task, now, max_instants)
    missed, candidates = _split_missed(backlog, now)
    runs, others = _RULES[CatchUp(task.policy.catch_up)](candidates, is_continued)
    return CatchUpSelection(runs, (*missed, *others), backlog.next_at, backlog.cost)


def _split_missed(backlog: Backlog, now: datetime) -> tuple[tuple[Claim, ...], Backlog]:
    """Return the claims for instants that are too old to be caught up, and the others."""
    policy = backlog.task.policy
    if policy.catch_up is CatchUp.NONE:
        limit, why = now - LATE_AFTER, reason(Code.CATCH_UP_NONE)
    elif policy.catch_up_window is not None:
        limit = now - max(timedelta(seconds=policy.catch_up_window), LATE_AFTER)
        why = reason(Code.CATCH_UP_WINDOW, window=policy.catch_up_window)
    else:
        return (), backlog
    missed, candidates = backlog.split(limit)
    return missed.claims(RunState.MISSED, why), candidates


_Choice = tuple[tuple[datetime, ...], tuple[Claim, ...]]


def _latest(candidates: Backlog, _: bool) -> _Choice:
    if candidates.is_truncated:  # the latest one is not counted yet
        return (), candidates.claims(RunState.COALESCED, reason(Code.COVERED_LATER))
    runs, others = candidates.split_last(1)
    return runs, others.claims(RunState.COALESCED, _covered_by(runs))


def _earliest(candidates: Backlog, is_continued: bool) -> _Choice:
    if is_continued or not (candidates.newest or candidates.older):
        return (), candidates.claims(RunState.COALESCED, reason(Code.COVERED_EARLIER))
    first, others = candidates.split_first()
    return (first,), others.claims(RunState.COALESCED, _covered_by((first,)))


def _all(candidates: Backlog, _: bool) -> _Choice:
    cap = candidates.task.policy.catch_up_cap
    runs, others = ((), candidates) if candidates.is_truncated else candidates.split_last(cap)
    return runs, others.claims(RunState.MISSED, reason(Code.CATCH_UP_CAP, cap=cap))


_RULES = {CatchUp.LATEST: _latest, CatchUp.NONE: _latest, CatchUp.EARLIEST: _earliest, CatchUp.ALL: _all}


def _covered_by(runs: tuple[datetime, ...]) -> Reason | None:
    return reason(Code.COVERED, due=runs[0]) if runs else None
