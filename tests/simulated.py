"""The scheduler's whole world in a fake time: real planner, real store, real board and directives; runs that only end.

What a year brings is drawn at random: runs that fail or take long, stops, crashes at any step, suspends, and a clock
that is set forth and back. All along, a tally that knows nothing of the planner notes which instants were due.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from keiji.paths import Paths
from keiji.policy import Policy, Retry
from keiji.records import Build, Run, RunResult
from keiji.schedule import Interval, Schedule, cron, every, on, once
from keiji.settings import Settings
from keiji.states import RunState, Trigger
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import DueInstant
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.dispatch import HANDLERS
from keiji_engine.logs.service_log import Journal
from keiji_engine.scheduler import clock_changes
from keiji_engine.scheduler.planner import Conditions, Plan
from keiji_engine.scheduler_service import SchedulerService
from keiji_engine.state import EngineState
from keiji_engine.storage import transactions
from keiji_engine.storage.store import Store

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
DURATIONS = (1, 5, 30, 600, 40_000)  # seconds that runs take
_TICK = timedelta(microseconds=1)


class Crash(Exception):
    """The engine is killed here."""


class Ledger:
    """The store without a thread in between."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def do(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return verb(self.store, *args, **kwargs)


@dataclass
class Tally:
    """Which instants of a task were due, as its schedule and the clock alone tell.

    Args:
        schedule: what it goes by since ``since``; instants after that are not in ``settled`` yet. None while nothing
            is due.
        settled: those of before.
        ran: those that a run was started for, or waits for.
    """

    schedule: Schedule | None
    since: datetime
    settled: set[datetime] = field(default_factory=set)
    ran: set[datetime] = field(default_factory=set)

    def settle(self, now: datetime) -> None:
        """Take in everything up to ``now``."""
        moment = self.since
        while (
            self.schedule is not None
            and (following := self.schedule.next_after(moment)) is not None
            and following <= now
        ):
            self.settled.add(following)
            moment = following
        self.since = max(self.since, now)

    def apply_set_back(self, now: datetime, schedule: Schedule) -> None:
        """The clock shows ``now`` again: what lies ahead has not been due, unless it ran."""
        self.settled = {instant for instant in self.settled if instant <= now or instant in self.ran}
        self.schedule, self.since = schedule, now


class Simulation:
    """A year, or as much of it as is asked for.

    Args:
        limit: how many runs may be live at once; 0 for no limit.
        begin: when time begins.
        schedule: makes the schedule of the task of that number, where it is not to be any; so does ``policy``.
        durations: seconds that runs take; one is drawn for each.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tasks: int,
        seed: int,
        limit: int = 0,
        begin: datetime = BEGIN,
        schedule: Callable[[int], Schedule] | None = None,
        policy: Callable[[], Policy] | None = None,
        durations: Sequence[float] = DURATIONS,
    ) -> None:
        self.begin = begin
        self.durations = durations
        self.random = random.Random(seed)
        self.paths = Paths.under(folder)
        self.paths.create_folders()
        self.settings = Settings(time_zone="America/New_York", max_parallel_runs=limit)
        self.store = Store.open(self.settings, self.paths)
        self.ledger: Any = Ledger(self.store)
        self.now = begin
        self.ends: list[tuple[datetime, str, RunState]] = []  # of live runs, by when they end
        self.stopped: set[str] = set()
        self.launched: Counter[tuple[str, datetime | None, int]] = Counter()
        self.began: dict[tuple[str, datetime], datetime] = {}
        self.seen: Counter[str] = Counter()  # what happened, for the reader of a report
        self.crash_at: str | None = None
        self.tallies: dict[str, Tally] = {}
        self.foreseen: tuple[str, datetime, tuple[DueInstant, ...]] | None = None
        self.ran_ahead: set[datetime] = set()
        self.foreseen_right = 0
        for number in range(tasks):
            chosen = schedule(number) if schedule else self._schedule(number)
            self._add_task(number, chosen, policy() if policy else self._policy())

    def _add_task(self, number: int, schedule: Schedule, policy: Policy) -> None:
        slug = f"task{number:04}"
        build = Build(
            hash=f"{number:032x}", command=("python",), files={}, schedule=schedule, policy=policy, import_seconds=0,
            created_at=self.begin,
        )  # fmt: skip
        placed = schedule.with_context(policy.schedule_context(anchor=self.begin, zone=self.settings.time_zone))
        self.store.tasks.create(slug, slug, "", self.begin)
        self.store.tasks.activate(slug, build, placed, placed.next_after(self.begin), now=self.begin)
        self.tallies[slug] = Tally(placed, self.begin)

    def _schedule(self, number: int) -> Schedule:
        draw = self.random
        clock = f"{draw.randrange(24):02}:{draw.randrange(60):02}"
        kinds: list[Schedule] = [
            every(draw.randrange(7, 100)).hours,
            every(draw.randrange(1, 4)).days,
            on.day.at(clock),
            on.weekdays.at("2:30"),
            on.sunday.at("1:30"),
            cron(f"{draw.randrange(60)} {draw.randrange(24)} * * {draw.randrange(7)}"),
            cron("30 2 */3 * *"),
            cron("0 */12 * * *"),
            once(f"{self.begin + timedelta(days=draw.randrange(1, 99)):%Y-%m-%d} {clock}"),
        ]
        return kinds[number % len(kinds)]

    def _policy(self) -> Policy:
        draw = self.random
        return Policy(
            overlap=draw.choice(["skip", "queue", "replace", "allow"]),
            queue=draw.randrange(1, 4),
            max_parallel=draw.choice([None, 1, 2]),
            catch_up=draw.choice(["latest", "none", "earliest", "all"]),
            catch_up_window=draw.choice([None, None, 86400]),
            catch_up_cap=draw.randrange(1, 6),
            retry=draw.choice([Retry(), Retry(tries=3, delay=600, backoff=2, jitter=60)]),
            jitter=draw.choice([0, 0, 0, 900]),
            dst_gap=draw.choice([None, "after", "skip"]),
            dst_fold=draw.choice([None, "first", "second", "both"]),
            hold_after=draw.choice([0, 0, 0, 0, 3]),
            tz=draw.choice([None, None, "Europe/Dublin", "Australia/Lord_Howe", "Africa/Nairobi"]),
        )

    # ── an engine's life ─────────────────────────────────────────────────────────────────────────────────────────

    async def boot(self) -> None:
        """Start the engine: adopt what runs, record what ended meanwhile, look at the clock."""
        self.board = EngineState(self.paths, lambda _: None)
        await self.board.load(self.ledger)
        journal = Journal(self.paths, lambda: self.settings, lambda: self.now)
        self.desk = Context(self.paths, lambda: self.settings, self.ledger, self.board, journal, lambda: self.now)
        self.scheduler = SchedulerService(
            world=self.board,
            carry_out=self._carry_out,
            apply_set_back=self._turned_back,
            conditions=lambda: Conditions(
                zone=self.settings.zone, pause=self.board.pause, max_parallel=self.settings.max_parallel_runs or None
            ),
            clock=lambda: self.now,
            note=lambda *_: None,
        )
        live = {run_id for _, run_id, _ in self.ends}
        for run in self.store.runs.open():
            if run.is_live and run.run_id not in live:  # claimed, and never handed on
                self._finish(run.run_id, RunState.LOST)
        if self.now < (newest := self.store.history.newest_moment()):
            await self._turned_back(self.now, newest)

    async def run(self, until: datetime, *, told: Callable[[], None] = lambda: None) -> None:
        """Let time pass; ``told`` is called now and then."""
        await self.boot()
        trouble = self._trouble_at()
        while self.now < until:
            try:
                await self._settle()
            except Crash:
                self.seen["crash"] += 1
                self._away(self.random.choice([1, 600, 90_000]))
                await self.boot()
                continue
            if self.now >= trouble:
                self._look_back()
                await self._trouble()
                trouble = self._trouble_at()
                await self._settle_quietly()
                await self._look_ahead()
                told()
                continue
            self._go_on(trouble, until)
        self.crash_at = None
        await self._settle()
        for tally in self.tallies.values():
            tally.settle(self.now)

    async def pass_time(self, until: datetime) -> None:
        """Let time pass without trouble, after a boot."""
        while self.now < until:
            await self._settle()
            self._go_on(until)

    def forget(self) -> None:
        """Drop the notes on what happened, which grow as the engine must not."""
        self.launched.clear()
        self.began.clear()
        for tally in self.tallies.values():
            tally.schedule = None
            tally.ran.clear()

    def _go_on(self, *moments: datetime) -> None:
        """Let time pass until one of ``moments``, or until there is something to do."""
        sight = self.board.sight(self.now)
        following = [*moments, *(end for end, _, _ in self.ends[:1])]
        following += [sight.following] if sight.following else []
        following += [run.due_at for run in sight.open_runs if run.due_at and run.due_at > self.now]
        self.now = max(min(following), self.now + _TICK)

    async def _settle_quietly(self) -> None:
        """Settle, whatever was to crash; that is put off."""
        crash_at, self.crash_at = self.crash_at, None
        await self._settle()
        self.crash_at = crash_at

    async def _settle(self) -> None:
        """Let the engine do what there is to do at this moment."""
        while self.ends and self.ends[0][0] <= self.now:
            _, run_id, state = heapq.heappop(self.ends)
            self._finish(run_id, RunState.STOPPED if run_id in self.stopped else state)
        while await self.scheduler.step() == 0.0:
            while self.ends and self.ends[0][0] <= self.now:
                _, run_id, state = heapq.heappop(self.ends)
                self._finish(run_id, RunState.STOPPED if run_id in self.stopped else state)

    async def _carry_out(self, plan: Plan) -> bool:
        if self.crash_at == "before":
            raise self._crash()
        runs, tasks = transactions.settle_due(self.store, plan, self.now)
        if self.crash_at == "claimed":
            raise self._crash()
        self.board.put_runs(runs, tasks)
        for run in runs:
            if run.state is RunState.STARTING:
                self._launch(run)
                if self.crash_at == "launching":
                    raise self._crash()
        for run_id, _ in plan.stop:
            self._stop(run_id)
        return bool(runs or tasks)

    def _crash(self) -> Crash:
        self.crash_at = None
        return Crash()

    def _launch(self, run: Run) -> None:
        self.launched[run.task, run.scheduled_for, run.attempt] += run.trigger is not Trigger.MANUAL
        if run.scheduled_for is not None:
            self.began.setdefault((run.task, run.scheduled_for), self.now)
            self.tallies[run.task].ran.add(run.scheduled_for)
        seconds = self.random.choice(self.durations)
        state = self.random.choice([RunState.SUCCEEDED] * 4 + [RunState.FAILED])
        heapq.heappush(self.ends, (self.now + timedelta(seconds=seconds), run.run_id, state))

    def _stop(self, run_id: str) -> None:
        self.stopped.add(run_id)
        self.ends = [(self.now if id_ == run_id else end, id_, state) for end, id_, state in self.ends]
        heapq.heapify(self.ends)

    def _finish(self, run_id: str, state: RunState) -> None:
        run = self.store.runs.get(run_id)
        task = self.store.tasks.get(run.task)
        retry_at = None
        if state is RunState.FAILED and not task.is_disabled:
            delay = task.policy.retry.delay_after(run.attempt, jitter_fraction=self.random.random())
            retry_at = None if delay is None else self.now + timedelta(seconds=delay)
        result = RunResult(run_id=run_id, state=state, finished_at=self.now, reason="" if not state else str(state))
        run, retry, task = transactions.finish(self.store, result, retry_at)
        self.board.put_runs([run, retry] if retry else [run], [task])
        self.stopped.discard(run_id)

    async def _turned_back(self, seen: datetime, recorded: datetime | None = None) -> None:
        """Go on from an earlier time than was ``seen``, or, at a boot, than what is ``recorded``."""
        for tally in self.tallies.values():
            tally.settle(seen)
        for run in self.store.runs.open():  # what waits is going to run, even where it is ahead again
            if run.scheduled_for is not None:
                self.tallies[run.task].ran.add(run.scheduled_for)
        before = {task.slug: task for task in self.board.tasks()}
        await clock_changes.apply_set_back(self.desk, recorded or seen)
        for slug, task in ((task.slug, task) for task in self.board.tasks()):
            assert task.schedule is not None
            if not task.is_disabled and (task != before[slug] or not isinstance(task.schedule, Interval)):
                self.tallies[slug].apply_set_back(self.now, task.schedule)

    # ── trouble ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _trouble_at(self) -> datetime:
        return self.now + timedelta(seconds=self.random.expovariate(1 / (2 * 86400)))

    async def _trouble(self) -> None:
        kinds = [self._stop_and_start, self._crash_soon, self._crash_soon, self._suspend, self._set_clock]
        await self.random.choice([*kinds, *[self._directive] * 6])()

    async def _stop_and_start(self) -> None:
        self.seen["stop"] += 1
        self._away(self.random.choice([5, 4000, 90_000, 400_000]))
        await self.boot()

    def _away(self, seconds: float) -> None:
        """Let time pass without an engine: runs end, and nobody records it until the next start."""
        self.now += timedelta(seconds=seconds)

    async def _crash_soon(self) -> None:
        self.crash_at = self.random.choice(["before", "claimed", "launching"])

    async def _suspend(self) -> None:
        self.seen["suspend"] += 1
        asleep = timedelta(seconds=self.random.choice([20, 4000, 90_000]))
        self.now += asleep
        self.ends = [(end + asleep, run_id, state) for end, run_id, state in self.ends]

    async def _set_clock(self) -> None:
        by = self.random.choice([3600, 90_000, -30, -3700, -100_000])
        self.seen["clock forth" if by > 0 else "clock back"] += 1
        self.now += timedelta(seconds=by)
        self.ends = [(end + timedelta(seconds=by), run_id, state) for end, run_id, state in self.ends]

    async def _directive(self) -> None:
        """Do what people do: disable and enable, pause and resume, resolve, restart, run by hand."""
        slug = self.random.choice(list(self.tallies))
        task = self.board.find(slug)
        tally = self.tallies[slug]
        if task.held_at is not None:
            kind: p.Directive = p.Resolve(task=slug)
        elif self.board.pause is not None:
            kind = p.ResumeSystem()
        elif task.pause is not None:
            kind = p.ResumeTask(task=slug)
        elif task.is_disabled:
            kind = p.Enable(task=slug)
        else:
            kind = self.random.choice([p.PauseTask(task=slug), p.PauseSystem(reason="moving"), p.Disable(task=slug)])
        self.seen[kind.verb] += 1
        tally.settle(self.now)
        await HANDLERS[type(kind)](self.desk, kind)
        if isinstance(kind, p.Disable):
            tally.schedule = None
        if isinstance(kind, p.Enable):
            placed = self.board.find(slug).schedule
            assert placed is not None
            tally.schedule, tally.since = placed, self.now

    # ── what was foreseen ────────────────────────────────────────────────────────────────────────────────────────

    async def _look_ahead(self) -> None:
        """Note what is foreseen for a task, to be compared with what has happened when the next trouble comes."""
        slug = self.random.choice([task.slug for task in self.board.tasks()])
        request = p.GetUpcoming(task=slug, count=50, after=self.now)
        reply = await HANDLERS[p.GetUpcoming](self.desk, request)
        assert isinstance(reply, p.Upcoming)
        self.foreseen = None if self.board.find(slug).is_disabled else (slug, self.now, reply.instants)
        self.ran_ahead = self.store.runs.instants_after(slug, self.now)  # before the clock was set back

    def _look_back(self) -> None:
        if self.foreseen is None:
            return
        slug, since, instants = self.foreseen
        until = min(self.now, instants[-1].at) if len(instants) == 50 else self.now
        expected = [each for each in instants if each.at <= until and not each.is_skipped]
        rows = [run for run in self.store.runs.latest(slug, 200) if run.attempt == 1 and run.scheduled_for is not None]
        since_then = [run for run in rows if run.scheduled_for and since < run.scheduled_for <= until]
        happened = {run.scheduled_for: run for run in since_then if run.scheduled_for not in self.ran_ahead}
        foreseen = {each.at for each in expected}
        assert happened.keys() == foreseen, (
            f"{slug}, foreseen at {since} until {until}: "
            f"not come: {sorted(foreseen - happened.keys())}, not foreseen: {sorted(happened.keys() - foreseen)}"
        )
        for each in expected:
            began = self.began.get((slug, each.at))
            assert began is None or began >= each.starts_at, f"{slug}: too early at {each.at}"
            self.foreseen_right += 1

    # ── what has to hold ─────────────────────────────────────────────────────────────────────────────────────────

    def accounted(self) -> dict[str, tuple[set[datetime], int]]:
        """Return for each task the instants with a row of their own, and how many instants all rows account for."""
        found: dict[str, tuple[set[datetime], int]] = {}
        for slug in self.tallies:
            rows = [
                run for run in self.store.runs.latest(slug, 10**6) if run.scheduled_for is not None and run.attempt == 1
            ]
            own = [run.scheduled_for for run in rows if run.scheduled_for is not None]
            assert len(own) == len(set(own)), f"{slug}: two rows for one instant"
            found[slug] = set(own), sum(run.count for run in rows)
        return found

    def check(self) -> int:
        """Hold the rows to the tally; return how many instants there were."""
        assert max(self.launched.values(), default=0) <= 1, "an attempt was launched twice"
        total = 0
        for slug, (own, count) in self.accounted().items():
            due = self.tallies[slug].settled
            assert own <= due, f"{slug}: rows for what was never due: {sorted(own - due)[:3]}"
            assert count == len(due), f"{slug}: {len(due)} instants were due, {count} are accounted for"
            total += count
        return total
