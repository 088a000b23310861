"""What is due, and what is to happen to each due instant. Pure: the world and the time come in, decisions go out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo

from keiji.policy import Overlap
from keiji.records import Pause, Run, Task
from keiji.states import RunState, Trigger
from keiji_engine.scheduler.backlog import MOST_AT_ONCE, ON_TIME, chosen, unstarted
from keiji_engine.scheduler.reasons import ago, busy, held, no_slot, paused, short
from keiji_engine.storage.store import Claim

MOST_ROWS = 5_000  # of one plan, and so of one transaction
BURST = 10  # so many tasks catch up at once; the others follow, as many each second
_SPREAD = timedelta(seconds=1)
_RUNNER_RESTARTS = timedelta(seconds=5)  # for so long what is due waits for a runner that was stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What holds for all tasks.

    Args:
        zone: in which reasons give times.
        can_run: whether anything can be started at all.
        pause: while there is one, nothing is started.
        max_parallel: how many runs may be live at once; None for no limit.
    """

    zone: tzinfo = UTC
    can_run: bool = True
    pause: Pause | None = None
    max_parallel: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done now.

    Args:
        claims: for each due instant, or for a row of them.
        begin: ids of queued runs whose time has come.
        stop: (id, reason) of live runs that others take the place of.
        give_up: (id, reason) of queued runs that others take the place of.
        wake_at: the next instant at which anything is due; None when nothing is.
        about: the tasks that it decides about.
        seen: ids of their open runs, as they were taken into account.
    """

    claims: tuple[Claim, ...] = ()
    begin: tuple[str, ...] = ()
    stop: tuple[tuple[str, str], ...] = ()
    give_up: tuple[tuple[str, str], ...] = ()
    wake_at: datetime | None = None
    about: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.claims or self.begin or self.stop or self.give_up)

    @property
    def tasks(self) -> list[str]:
        """The tasks whose occurrences it decides about, once each."""
        return list(dict.fromkeys(claim.task for claim in self.claims))


def plan(
    tasks: Iterable[Task],
    open_runs: Sequence[Run],
    now: datetime,
    conditions: Conditions = Conditions(),
    *,
    following: datetime | None = None,
) -> Plan:
    """Decide about everything that is due at ``now``, in due order.

    Args:
        tasks: at least those that are due and those with queued runs.
        open_runs: all runs that have not ended, in the order in which they came.
        following: when the first task is due that is not among ``tasks``.
    """
    by_slug = {task.slug: task for task in tasks}
    planner = _Planner(by_slug, open_runs, now, conditions)
    for task in sorted(by_slug.values(), key=lambda task: (task.next_at or now, task.slug)):
        if task.next_at is None or task.schedule is None:
            continue
        if task.next_at > now:
            planner.wake.append(task.next_at)
        elif planner.has_time:
            planner.take(task)
        else:
            planner.wake.append(now)
    planner.look_at_queue()
    planner.share_slots()
    moved = {*planner.begin, *planner.give_up}
    about = {claim.task for claim in planner.claims} | {run.task for run in open_runs if run.run_id in moved}
    return Plan(
        tuple(planner.claims),
        tuple(planner.begin),
        tuple(planner.stop.items()),
        tuple(planner.give_up.items()),
        min((*planner.wake, *([following] if following else [])), default=None),
        frozenset(about),
        frozenset(run.run_id for run in open_runs if run.task in about),
    )


@dataclass(order=True)
class _Start:
    """Something that could start now: a queued run, or a claim of this plan. They sort in due order."""

    due: datetime
    task: str
    run_id: str = ""
    claim: int = field(default=-1, compare=False)


class _Planner:
    """A plan in the making."""

    def __init__(self, tasks: dict[str, Task], open_runs: Sequence[Run], now: datetime, conditions: Conditions) -> None:
        self.tasks = tasks
        self.now = now
        self.conditions = conditions
        self.open: dict[str, list[Run]] = defaultdict(list)
        for run in open_runs:
            self.open[run.task].append(run)
        self.live = sum(run.is_live for run in open_runs)
        self.caught_up = sum(_catches_up(run) and _due(run) > now - _SPREAD for run in open_runs)
        self.started: Counter[str] = Counter()  # by task, what this plan starts
        self.queued: Counter[str] = Counter()
        self.claims: list[Claim] = []
        self.begin: list[str] = []
        self.stop: dict[str, str] = {}
        self.give_up: dict[str, str] = {}
        self.wake: list[datetime] = []
        self.starts: list[_Start] = []
        self.cost = 0

    @property
    def has_time(self) -> bool:
        """Whether more can be decided in one go, without anybody having to wait for it."""
        return self.cost < MOST_AT_ONCE and len(self.claims) < MOST_ROWS

    # ── what is due ──────────────────────────────────────────────────────────────────────────────────────────────

    def take(self, task: Task) -> None:
        """Decide about every due instant of a task."""
        conditions, now = self.conditions, self.now
        if task.held_at is not None:
            self._pass(unstarted(task, now, RunState.SKIPPED, held(task, conditions.zone)))
        elif (pause := task.pause or conditions.pause) is not None:
            whole = " with everything" if task.pause is None else ""
            self._pass(unstarted(task, now, RunState.SKIPPED, paused(pause, conditions.zone, whole)))
        elif not conditions.can_run:
            if task.next_at is not None and now - task.next_at < _RUNNER_RESTARTS:
                self.wake.append(task.next_at + _RUNNER_RESTARTS)
            else:
                self._pass(unstarted(task, now, RunState.MISSED, "the runner was stopped"))
        else:
            due = chosen(task, now, conditions.zone, is_continued=self._is_continued(task))
            self.cost += due.cost
            self.claims += due.passed
            start = now
            for instant in due.chosen:
                start = self._run(task, instant, due.next_at, start, is_last=instant == due.chosen[-1])
            if due.next_at is not None:
                self.wake.append(due.next_at)

    def _is_continued(self, task: Task) -> bool:
        """Return whether a run has begun already for earlier instants of a stop so long that it is not counted yet."""
        assert task.next_at is not None
        if self.now - task.next_at <= ON_TIME:
            return False
        began = task.last_at is not None and task.last_at >= task.next_at
        return began or any(_catches_up(run) for run in self.open[task.slug])

    def _pass(self, claims: tuple[Claim, ...]) -> None:
        self.cost += sum(claim.count for claim in claims)
        self.claims += claims
        if claims[-1].next_at is not None:
            self.wake.append(claims[-1].next_at)

    def _run(
        self, task: Task, instant: datetime, next_at: datetime | None, after: datetime, *, is_last: bool
    ) -> datetime:
        """Have one instant run: now, later, or not at all, as what runs of the task already allows.

        Args:
            after: when the one before it starts, of those that are caught up with.

        Returns:
            When it starts, as far as that is up to time alone.
        """
        zone = self.conditions.zone
        claim = Claim(task=task.slug, scheduled_for=instant, next_at=next_at, state=RunState.STARTING, build=task.build)
        overlap, ahead = task.policy.overlap, self.open[task.slug]
        if overlap is Overlap.REPLACE and not is_last:
            self.claims.append(replace(claim, state=RunState.COALESCED, reason="a later one takes its place"))
            return after
        if overlap is Overlap.SKIP and ahead:
            self.claims.append(replace(claim, state=RunState.SKIPPED, reason=busy(ahead, task, zone)))
            return after
        start = task.start_of(instant)
        if self.now - instant > ON_TIME:
            claim = replace(claim, reason=f"caught up with: it was due {ago(self.now - instant)} before")
            start = max(start, self._slot(task, after))
        if overlap is Overlap.REPLACE:
            self._replace(ahead, instant)
        self._start_or_wait(task, claim, start)
        return start

    def _slot(self, task: Task, after: datetime) -> datetime:
        """Return when the next one that catches up may start, so that not all do at once.

        Runs of one task that wait for each other need one slot for all of them.
        """
        is_behind = self.started[task.slug] + self.queued[task.slug] > 0 and task.policy.overlap is not Overlap.ALLOW
        if is_behind:
            return after
        slot = self.now + self.caught_up // BURST * _SPREAD
        self.caught_up += 1
        return slot

    def _replace(self, ahead: Sequence[Run], instant: datetime) -> None:
        for run in ahead:
            if run.state is RunState.QUEUED:
                self.give_up[run.run_id] = f"replaced by the one of {short(instant, self.conditions.zone)}"

    def _start_or_wait(self, task: Task, claim: Claim, start: datetime) -> None:
        """Add a claim that starts now, unless something is to be waited for."""
        ahead = [run for run in self.open[task.slug] if run.run_id not in self.give_up]
        policy, started, queued = task.policy, self.started[task.slug], self.queued[task.slug]
        if start > self.now:
            why = "jitter" if task.start_of(claim.scheduled_for) > self.now else "others catch up as well"
            self._queue(task, claim, start, f"{why}: it starts at {short(start, self.conditions.zone)}")
            self.wake.append(start)
        elif policy.overlap is Overlap.ALLOW:
            # What waits already and could begin goes first.
            taken = sum(run.is_live or _due(run) <= self.now for run in ahead) + started + queued
            if policy.max_parallel is not None and taken >= policy.max_parallel:
                live = sum(run.is_live for run in ahead) + started
                self._queue(task, claim, claim.scheduled_for, f"{live} of {policy.max_parallel} runs are going on")
            else:
                self._start(claim)
        elif ahead or started or queued:
            self._queue(task, claim, claim.scheduled_for, "waits for the run before it")
        else:
            self._start(claim)

    def _queue(self, task: Task, claim: Claim, due_at: datetime, reason: str) -> None:
        """Add a claim that waits, unless too many do already."""
        ahead = self.open[task.slug]
        waiting = sum(run.state is RunState.QUEUED for run in ahead) + self.queued[task.slug]
        if task.policy.overlap in {Overlap.QUEUE, Overlap.ALLOW} and waiting >= task.policy.queue:
            full = f"{waiting} wait already, and its queue takes no more"
            if any(run.is_live for run in ahead):
                full = f"{full}; {busy(ahead, task, self.conditions.zone)}"
            self.claims.append(replace(claim, state=RunState.SKIPPED, reason=full))
            return
        self.queued[task.slug] += 1
        self.claims.append(_waiting(claim, due_at, reason))

    def _start(self, claim: Claim) -> None:
        self.started[claim.task] += 1
        self.starts.append(_Start(claim.scheduled_for, claim.task, claim=len(self.claims)))
        self.claims.append(claim)

    # ── what waits ───────────────────────────────────────────────────────────────────────────────────────────────

    def look_at_queue(self) -> None:
        """Find the queued runs that could begin, and what has to end before others can."""
        if not self.conditions.can_run:
            return
        for slug, task in self.tasks.items():
            queued = [run for run in self.open[slug] if run.state is RunState.QUEUED and run.run_id not in self.give_up]
            if is_kept_back(task, self.conditions.pause):
                queued = [run for run in queued if run.trigger is Trigger.MANUAL]
            due = [run for run in queued if _due(run) <= self.now]
            self.wake += [_due(run) for run in queued if _due(run) > self.now]
            live = [run for run in self.open[slug] if run.is_live]
            if task.policy.overlap is Overlap.REPLACE and any(_is_occurrence(run) for run in due):
                self.stop |= {run.run_id: f"replaced by the one of {self._newest(due)}" for run in live}
            if task.policy.overlap is not Overlap.ALLOW and any(run.attempt > 1 and run not in due for run in queued):
                # The run before is not over as long as it is to be tried again.
                due = [run for run in due if run.trigger is Trigger.MANUAL]
            for run in sorted(due, key=_due)[: self._room(task, live)]:
                self.starts.append(_Start(_due(run), slug, run.run_id))

    def _newest(self, due: Iterable[Run]) -> str:
        return short(max(_due(run) for run in due if _is_occurrence(run)), self.conditions.zone)

    def _room(self, task: Task, live: Sequence[Run]) -> int:
        """Return how many more runs of a task may be live."""
        starting = self.started[task.slug]
        if task.policy.overlap is not Overlap.ALLOW:
            return 0 if live or starting else 1
        most = task.policy.max_parallel
        return len(self.open[task.slug]) if most is None else max(most - len(live) - starting, 0)

    def share_slots(self) -> None:
        """Start what is due in due order, as far as the limit for all tasks allows; the rest waits."""
        most = self.conditions.max_parallel
        free = len(self.starts) if most is None else max(most - self.live, 0)
        in_order = sorted(self.starts)
        self.begin = [start.run_id for start in in_order[:free] if start.run_id]
        for start in in_order[free:]:
            if start.claim >= 0:
                claim = self.claims[start.claim]
                self.claims[start.claim] = _waiting(claim, claim.scheduled_for, no_slot(most or 0))


def _waiting(claim: Claim, due_at: datetime, reason: str) -> Claim:
    reason = "; ".join(filter(None, (claim.reason, reason)))
    return replace(claim, state=RunState.QUEUED, due_at=due_at, reason=reason)


def _due(run: Run) -> datetime:
    return run.due_at or run.created_at


def _catches_up(run: Run) -> bool:
    """Return whether a run was late when it was claimed; what is queued for a slot counts by its instant."""
    return run.scheduled_for is not None and run.created_at - run.scheduled_for > ON_TIME


def is_kept_back(task: Task, pause: Pause | None) -> bool:
    """Return whether nothing of a task begins but what somebody asks for."""
    return task.is_disabled or pause is not None or task.pause is not None or task.held_at is not None


def _is_occurrence(run: Run) -> bool:
    return run.trigger is Trigger.SCHEDULE
