"""Decides what happens to each due instant. Pure: a view of the state and the time come in, a plan goes out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from keiji.policy import Overlap
from keiji.reasons import Code, Reason, reason
from keiji.records import Claim, Run, Task
from keiji.states import RunState, Trigger
from keiji_engine.scheduler.backlog import LATE_AFTER, MAX_INSTANTS, close_backlog, select_catch_up
from keiji_engine.scheduler.model import Conditions, Plan, is_held_back
from keiji_engine.scheduler.reasons import held, occupied, paused

MAX_ROWS = 5_000  # of one plan, and so of one transaction
BURST = 10  # tasks that catch up at once; the others follow, as many each second
_BURST_INTERVAL = timedelta(seconds=1)
_RUNNER_RESTART = timedelta(seconds=5)  # for how long due occurrences wait for a stopped runner


def plan(
    tasks: Iterable[Task],
    open_runs: Sequence[Run],
    now: datetime,
    conditions: Conditions,
    *,
    next_at: datetime | None = None,
) -> Plan:
    """Decide about everything that is due at ``now``, in due order.

    Args:
        tasks: at least the tasks that are due, and those with queued runs.
        open_runs: all runs that have not ended, oldest first.
        next_at: when the first of the other tasks is due.
    """
    by_slug = {task.slug: task for task in tasks}
    planner = _Planner(by_slug, open_runs, now, conditions)
    for task in sorted(by_slug.values(), key=lambda task: (task.next_at or now, task.slug)):
        if task.next_at is None or task.schedule is None:
            continue
        if task.next_at > now:
            planner.wake_times.append(task.next_at)
        elif planner.has_budget:
            planner.decide(task)
        else:
            planner.wake_times.append(now)
    planner.consider_queue()
    planner.allocate_slots()
    dequeued = {*planner.start, *planner.skip}
    slugs = {claim.task for claim in planner.claims} | {run.task for run in open_runs if run.run_id in dequeued}
    return Plan(
        tuple(planner.claims),
        tuple(planner.start),
        tuple(planner.stop.items()),
        tuple(planner.skip.items()),
        min((*planner.wake_times, *([next_at] if next_at else [])), default=None),
        frozenset(slugs),
        frozenset(run.run_id for run in open_runs if run.task in slugs),
    )


@dataclass(order=True)
class _Candidate:
    """A candidate to start now: a queued run, or a claim of this plan. Candidates sort in due order."""

    due: datetime
    task: str
    run_id: str = ""
    claim: int = field(default=-1, compare=False)


class _Planner:
    """A plan under construction."""

    def __init__(self, tasks: dict[str, Task], open_runs: Sequence[Run], now: datetime, conditions: Conditions) -> None:
        self.tasks = tasks
        self.now = now
        self.conditions = conditions
        self.open: dict[str, list[Run]] = defaultdict(list)
        for run in open_runs:
            self.open[run.task].append(run)
        self.live = sum(run.is_live for run in open_runs)
        self.caught_up = sum(_is_caught_up(run) and _due(run) > now - _BURST_INTERVAL for run in open_runs)
        self.started: Counter[str] = Counter()  # runs that this plan starts, by task
        self.queued: Counter[str] = Counter()
        self.claims: list[Claim] = []
        self.start: list[str] = []
        self.stop: dict[str, Reason] = {}
        self.skip: dict[str, Reason] = {}
        self.wake_times: list[datetime] = []
        self.candidates: list[_Candidate] = []
        self.cost = 0

    @property
    def has_budget(self) -> bool:
        """Whether this plan may decide about more tasks without delaying its own execution."""
        return self.cost < MAX_INSTANTS and len(self.claims) < MAX_ROWS

    # ── due instants ─────────────────────────────────────────────────────────────────────────────────────────────────

    def decide(self, task: Task) -> None:
        """Decide about every due instant of a task."""
        conditions, now = self.conditions, self.now
        if task.held_at is not None:
            self._close(close_backlog(task, now, RunState.SKIPPED, held(task)))
        elif (pause := task.pause or conditions.pause) is not None:
            why = paused(pause, is_global=task.pause is None)
            self._close(close_backlog(task, now, RunState.SKIPPED, why))
        elif not conditions.can_run:
            if task.next_at is not None and now - task.next_at < _RUNNER_RESTART:
                self.wake_times.append(task.next_at + _RUNNER_RESTART)
            else:
                self._close(close_backlog(task, now, RunState.MISSED, reason(Code.RUNNER_STOPPED)))
        else:
            selection = select_catch_up(task, now, is_continued=self._is_continued(task))
            self.cost += selection.cost
            self.claims += selection.claims
            start = now
            for instant in selection.runs:
                start = self._run(task, instant, selection.next_at, start, is_last=instant == selection.runs[-1])
            if selection.next_at is not None:
                self.wake_times.append(selection.next_at)

    def _is_continued(self, task: Task) -> bool:
        """Return whether a run has started for earlier instants of the same backlog, which takes several plans."""
        assert task.next_at is not None
        if self.now - task.next_at <= LATE_AFTER:
            return False
        has_started = task.last_at is not None and task.last_at >= task.next_at
        return has_started or any(_is_caught_up(run) for run in self.open[task.slug])

    def _close(self, claims: tuple[Claim, ...]) -> None:
        self.cost += sum(claim.count for claim in claims)
        self.claims += claims
        if claims[-1].next_at is not None:
            self.wake_times.append(claims[-1].next_at)

    def _run(
        self, task: Task, instant: datetime, next_at: datetime | None, after: datetime, *, is_last: bool
    ) -> datetime:
        """Decide about one instant: it runs now, later or not at all, depending on the task's other runs.

        Args:
            after: when the previous caught-up instant starts.

        Returns:
            When it starts, as far as only time is concerned.
        """
        claim = Claim(task=task.slug, scheduled_for=instant, next_at=next_at, state=RunState.STARTING, build=task.build)
        overlap, ahead = task.policy.overlap, self.open[task.slug]
        if overlap is Overlap.REPLACE and not is_last:
            self.claims.append(replace(claim, state=RunState.COALESCED, reason=reason(Code.REPLACED)))
            return after
        if overlap is Overlap.SKIP and ahead:
            self.claims.append(replace(claim, state=RunState.SKIPPED, reason=occupied(ahead, task)))
            return after
        start = task.start_time(instant)
        if self.now - instant > LATE_AFTER:
            claim = replace(claim, reason=reason(Code.CAUGHT_UP, late=self.now - instant))
            start = max(start, self._catch_up_start(task, after))
        if overlap is Overlap.REPLACE:
            self._skip_queued(ahead, instant)
        self._start_or_wait(task, claim, start)
        return start

    def _catch_up_start(self, task: Task, after: datetime) -> datetime:
        """Return when the next caught-up run may start: catching up is staggered.

        Runs of one task that wait for each other share one slot.
        """
        shares_slot = self.started[task.slug] + self.queued[task.slug] > 0 and task.policy.overlap is not Overlap.ALLOW
        if shares_slot:
            return after
        slot = self.now + self.caught_up // BURST * _BURST_INTERVAL
        self.caught_up += 1
        return slot

    def _skip_queued(self, ahead: Sequence[Run], instant: datetime) -> None:
        """Skip the queued runs that the run for ``instant`` replaces."""
        for run in ahead:
            if run.state is RunState.QUEUED:
                self.skip[run.run_id] = reason(Code.REPLACED, due=instant)

    def _start_or_wait(self, task: Task, claim: Claim, start: datetime) -> None:
        """Add a claim that starts now, or waits."""
        ahead = [run for run in self.open[task.slug] if run.run_id not in self.skip]
        policy, started, queued = task.policy, self.started[task.slug], self.queued[task.slug]
        if start > self.now:
            has_jitter = task.start_time(claim.scheduled_for) > self.now
            why = reason(Code.JITTER, at=start) if has_jitter else reason(Code.STAGGERED, at=start)
            self._queue(task, claim, start, why)
            self.wake_times.append(start)
        elif policy.overlap is Overlap.ALLOW:
            # Queued runs that could start go first.
            taken = sum(run.is_live or _due(run) <= self.now for run in ahead) + started + queued
            if policy.max_parallel is not None and taken >= policy.max_parallel:
                live = sum(run.is_live for run in ahead) + started
                why = reason(Code.PARALLEL_LIMIT, live=live, limit=policy.max_parallel)
                self._queue(task, claim, claim.scheduled_for, why)
            else:
                self._start(claim)
        elif ahead or started or queued:
            self._queue(task, claim, claim.scheduled_for, reason(Code.WAITING_FOR_PREVIOUS))
        else:
            self._start(claim)

    def _queue(self, task: Task, claim: Claim, due_at: datetime, why: Reason) -> None:
        """Add a claim that waits, unless the queue is full."""
        ahead = self.open[task.slug]
        waiting = sum(run.state is RunState.QUEUED for run in ahead) + self.queued[task.slug]
        if task.policy.overlap in {Overlap.QUEUE, Overlap.ALLOW} and waiting >= task.policy.queue:
            cause = occupied(ahead, task) if any(run.is_live for run in ahead) else None
            full = reason(Code.QUEUE_FULL, cause=cause, waiting=waiting)
            self.claims.append(replace(claim, state=RunState.SKIPPED, reason=full))
            return
        self.queued[task.slug] += 1
        self.claims.append(_waiting(claim, due_at, why))

    def _start(self, claim: Claim) -> None:
        self.started[claim.task] += 1
        self.candidates.append(_Candidate(claim.scheduled_for, claim.task, claim=len(self.claims)))
        self.claims.append(claim)

    # ── queued runs ──────────────────────────────────────────────────────────────────────────────────────────────────

    def consider_queue(self) -> None:
        """Find the queued runs that could start, and the live runs that they replace."""
        if not self.conditions.can_run:
            return
        for slug, task in self.tasks.items():
            queued = [run for run in self.open[slug] if run.state is RunState.QUEUED and run.run_id not in self.skip]
            if is_held_back(task, self.conditions.pause):
                queued = [run for run in queued if run.trigger is Trigger.MANUAL]
            due = [run for run in queued if _due(run) <= self.now]
            self.wake_times += [_due(run) for run in queued if _due(run) > self.now]
            live = [run for run in self.open[slug] if run.is_live]
            if task.policy.overlap is Overlap.REPLACE and any(_is_occurrence(run) for run in due):
                newest = max(_due(run) for run in due if _is_occurrence(run))
                self.stop |= {run.run_id: reason(Code.REPLACED, due=newest) for run in live}
            if task.policy.overlap is not Overlap.ALLOW and any(run.attempt > 1 and run not in due for run in queued):
                # A run that is to be retried still occupies its task.
                due = [run for run in due if run.trigger is Trigger.MANUAL]
            for run in sorted(due, key=_due)[: self._capacity(task, live)]:
                self.candidates.append(_Candidate(_due(run), slug, run.run_id))

    def _capacity(self, task: Task, live: Sequence[Run]) -> int:
        """Return how many more runs of a task may start."""
        starting = self.started[task.slug]
        if task.policy.overlap is not Overlap.ALLOW:
            return 0 if live or starting else 1
        limit = task.policy.max_parallel
        return len(self.open[task.slug]) if limit is None else max(limit - len(live) - starting, 0)

    def allocate_slots(self) -> None:
        """Start candidates in due order, up to the limit for all tasks; the others wait."""
        limit = self.conditions.max_parallel
        free = len(self.candidates) if limit is None else max(limit - self.live, 0)
        in_order = sorted(self.candidates)
        self.start = [candidate.run_id for candidate in in_order[:free] if candidate.run_id]
        for candidate in in_order[free:]:
            if candidate.claim >= 0:
                claim = self.claims[candidate.claim]
                why = reason(Code.WAITING_FOR_SLOT, limit=limit or 0)
                self.claims[candidate.claim] = _waiting(claim, claim.scheduled_for, why)


def _waiting(claim: Claim, due_at: datetime, why: Reason) -> Claim:
    combined = claim.reason.with_cause(why) if claim.reason is not None else why
    return replace(claim, state=RunState.QUEUED, due_at=due_at, reason=combined)


def _due(run: Run) -> datetime:
    return run.due_at or run.created_at


def _is_caught_up(run: Run) -> bool:
    """Return whether a run was late when it was claimed. A run that is queued for a slot counts by its instant."""
    return run.scheduled_for is not None and run.created_at - run.scheduled_for > LATE_AFTER


def _is_occurrence(run: Run) -> bool:
    return run.trigger is Trigger.SCHEDULE
