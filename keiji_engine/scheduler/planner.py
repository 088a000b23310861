"""Decides what happens to each due instant. Pure: a view of the state and the time come in, a plan goes out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from keiji.policy import Overlap
from keiji.reasons import Code, Reason, reason
from keiji.records import Claim, Run, Task
from keiji.states import RunState
from keiji_engine.scheduler.agenda import BURST_INTERVAL, MAX_STARTS, has_room
from keiji_engine.scheduler.backlog import LATE_AFTER, MAX_INSTANTS, close_backlog, select_catch_up
from keiji_engine.scheduler.model import Conditions, Plan, SchedulerView, is_held_back
from keiji_engine.scheduler.reasons import held, occupied, paused, replaced_by
from keiji_engine.scheduler.task_runs import TaskRuns, due_of, is_caught_up

MAX_ROWS = 2_000  # of one plan, and so of one transaction
BURST = 10  # tasks that catch up at once; the others follow, as many each second
_RUNNER_RESTART = timedelta(seconds=5)  # for how long due occurrences wait for a stopped runner
_NO_RUNS = TaskRuns()


def plan(view: SchedulerView, now: datetime, conditions: Conditions) -> Plan:
    """Decide about what is due at ``now``: first about the tasks that are due now, then about those that catch up.

    Those share what is left of the budget of a plan, so that none of them waits until another one has caught up.
    """
    planner = _Planner(view, now, conditions)
    for task in view.due:
        if planner.has_budget:
            planner.decide(task, MAX_INSTANTS)
    for number, task in enumerate(view.behind):
        if planner.has_budget:
            planner.decide(task, max(planner.instants_left // (len(view.behind) - number), 1))
    planner.consider_queue()
    planner.allocate_slots()
    decided = {claim.task for claim in planner.claims} | {run.task for run in (*planner.start, *planner.skip.values())}
    return Plan(
        tuple(planner.claims),
        tuple(planner.start),
        tuple(planner.stop.items()),
        tuple((run, planner.skip_reasons[run_id]) for run_id, run in planner.skip.items()),
        min((*planner.wake_times, *([view.next_at] if view.next_at else [])), default=None),
        {task.slug: task for task in (*view.due, *view.behind, *view.waiting) if task.slug in decided},
        view.revision,
    )


@dataclass(order=True)
class _Candidate:
    """A candidate to start now: a queued run, or a claim of this plan. Candidates sort in the order of their starts.

    Those that catch up start after all others, and each kind in due order.
    """

    catches_up: bool
    due: datetime
    task: str
    run_id: str = ""
    run: Run | None = field(default=None, compare=False)
    claim: int = field(default=-1, compare=False)


class _Planner:
    """A plan under construction."""

    def __init__(self, view: SchedulerView, now: datetime, conditions: Conditions) -> None:
        self.view = view
        self.now = now
        self.conditions = conditions
        self.catching_up = view.catching_up
        self.started: Counter[str] = Counter()  # runs that this plan starts, by task
        self.queued: Counter[str] = Counter()
        self.claims: list[Claim] = []
        self.start: list[Run] = []
        self.stop: dict[str, Reason] = {}
        self.skip: dict[str, Run] = {}
        self.skip_reasons: dict[str, Reason] = {}
        self.wake_times: list[datetime] = []
        self.candidates: list[_Candidate] = []
        self.instants_left = MAX_INSTANTS

    def runs(self, task: Task) -> TaskRuns:
        """Return the open runs of a task."""
        return self.view.runs.get(task.slug, _NO_RUNS)

    @property
    def has_budget(self) -> bool:
        """Whether this plan may decide about more tasks without delaying its own execution."""
        return self.instants_left > 0 and len(self.claims) < MAX_ROWS

    # ── due instants ─────────────────────────────────────────────────────────────────────────────────────────────────

    def decide(self, task: Task, max_instants: int) -> None:
        """Decide about the due instants of a task, up to ``max_instants``."""
        conditions, now = self.conditions, self.now
        if task.held_at is not None:
            self._close(close_backlog(task, now, RunState.SKIPPED, held(task), max_instants))
        elif (pause := task.pause or conditions.pause) is not None:
            why = paused(pause, is_global=task.pause is None)
            self._close(close_backlog(task, now, RunState.SKIPPED, why, max_instants))
        elif not conditions.can_run:
            if task.next_at is not None and now - task.next_at < _RUNNER_RESTART:
                self.wake_times.append(task.next_at + _RUNNER_RESTART)
            else:
                why = reason(Code.RUNNER_STOPPED)
                self._close(close_backlog(task, now, RunState.MISSED, why, max_instants))
        else:
            selection = select_catch_up(task, now, max_instants, is_continued=self._is_continued(task))
            self.instants_left -= selection.cost
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
        return has_started or self.runs(task).has_caught_up

    def _close(self, claims: tuple[Claim, ...]) -> None:
        self.instants_left -= sum(claim.count for claim in claims)
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
        overlap, ahead = task.policy.overlap, self.runs(task)
        if overlap is Overlap.REPLACE and not is_last:
            self.claims.append(replace(claim, state=RunState.COALESCED, reason=reason(Code.REPLACED)))
            return after
        if overlap is Overlap.SKIP and ahead.is_occupied:
            self.claims.append(replace(claim, state=RunState.SKIPPED, reason=occupied(ahead, task, instant)))
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
        slot = self.now + self.catching_up // BURST * BURST_INTERVAL
        self.catching_up += 1
        return slot

    def _skip_queued(self, ahead: TaskRuns, instant: datetime) -> None:
        """Skip the queued runs that the run for ``instant`` replaces."""
        for run in ahead.queued:
            self.skip[run.run_id] = run
            self.skip_reasons[run.run_id] = reason(Code.REPLACED, due=instant)

    def _start_or_wait(self, task: Task, claim: Claim, start: datetime) -> None:
        """Add a claim that starts now, or waits."""
        ahead, policy = self.runs(task), task.policy
        # The runs that are queued already are either all skipped, or none of them is.
        waiting = 0 if policy.overlap is Overlap.REPLACE else ahead.waiting
        started, queued = self.started[task.slug], self.queued[task.slug]
        if start > self.now:
            has_jitter = task.start_time(claim.scheduled_for) > self.now
            why = reason(Code.JITTER, at=start) if has_jitter else reason(Code.STAGGERED, at=start)
            self._queue(task, claim, start, why)
            self.wake_times.append(start)
        elif policy.overlap is Overlap.ALLOW:
            # Queued runs that could start go first.
            taken = len(ahead.live) + ahead.count_due(self.now) + started + queued
            if policy.max_parallel is not None and taken >= policy.max_parallel:
                why = reason(Code.PARALLEL_LIMIT, live=len(ahead.live) + started, limit=policy.max_parallel)
                self._queue(task, claim, claim.scheduled_for, why)
            else:
                self._start(claim)
        elif ahead.live or waiting or started or queued:
            self._queue(task, claim, claim.scheduled_for, reason(Code.WAITING_FOR_PREVIOUS))
        else:
            self._start(claim)

    def _queue(self, task: Task, claim: Claim, due_at: datetime, why: Reason) -> None:
        """Add a claim that waits, unless the queue is full."""
        ahead = self.runs(task)
        waiting = ahead.waiting + self.queued[task.slug]
        if task.policy.overlap in {Overlap.QUEUE, Overlap.ALLOW} and waiting >= task.policy.queue:
            cause = occupied(ahead, task, claim.scheduled_for) if ahead.regular_live else None
            full = reason(Code.QUEUE_FULL, cause=cause, waiting=waiting)
            self.claims.append(replace(claim, state=RunState.SKIPPED, reason=full))
            return
        self.queued[task.slug] += 1
        self.claims.append(_waiting(claim, due_at, why))

    def _start(self, claim: Claim) -> None:
        self.started[claim.task] += 1
        catches_up = self.now - claim.scheduled_for > LATE_AFTER
        candidate = _Candidate(catches_up, claim.scheduled_for, claim.task, claim=len(self.claims))
        self.candidates.append(candidate)
        self.claims.append(claim)

    # ── queued runs ──────────────────────────────────────────────────────────────────────────────────────────────────

    def consider_queue(self) -> None:
        """Find the queued runs that could start, and the live runs that they replace."""
        max_starts = MAX_STARTS if self._free is None else self._free
        for task in self.view.waiting:
            runs, overlap = self.runs(task), task.policy.overlap
            is_held = is_held_back(task, self.conditions.pause)
            if overlap is Overlap.REPLACE and not self._skips(runs):
                newest = runs.replacement(self.now, only_manual=is_held)
                if newest is not None:
                    self.stop |= dict.fromkeys(runs.regular_live, replaced_by(newest))
            in_turn = overlap is not Overlap.ALLOW
            capacity = min(self._capacity(task, runs), max_starts)
            for run in runs.startable(self.now, capacity, only_manual=is_held, in_turn=in_turn):
                if run.run_id not in self.skip:
                    candidate = _Candidate(is_caught_up(run), due_of(run), task.slug, run.run_id, run)
                    self.candidates.append(candidate)

    def _skips(self, runs: TaskRuns) -> bool:
        first = runs.first_queued
        return first is not None and first.run_id in self.skip

    def _capacity(self, task: Task, runs: TaskRuns) -> int:
        """Return how many more runs of a task may start."""
        starting = self.started[task.slug]
        if task.policy.overlap is not Overlap.ALLOW:
            return int(has_room(task, runs) and not starting)
        limit = task.policy.max_parallel
        return runs.waiting if limit is None else max(limit - len(runs.live) - starting, 0)

    @property
    def _free(self) -> int | None:
        """How many runs of all tasks may start; None for no limit."""
        limit = self.conditions.max_parallel
        return None if limit is None else max(limit - self.view.live, 0)

    def allocate_slots(self) -> None:
        """Start candidates in order, up to the limit for all tasks; the others wait."""
        in_order = sorted(self.candidates)
        free = len(in_order) if self._free is None else self._free
        self.start = [candidate.run for candidate in in_order[:free] if candidate.run is not None]
        for candidate in in_order[free:]:
            if candidate.claim >= 0:
                claim = self.claims[candidate.claim]
                why = reason(Code.WAITING_FOR_SLOT, limit=self.conditions.max_parallel or 0)
                self.claims[candidate.claim] = _waiting(claim, claim.scheduled_for, why)


def _waiting(claim: Claim, due_at: datetime, why: Reason) -> Claim:
    combined = claim.reason.with_cause(why) if claim.reason is not None else why
    return replace(claim, state=RunState.QUEUED, due_at=due_at, reason=combined)
