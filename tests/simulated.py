"""A simulation of the engine in virtual time: real planner, real database, real state and handlers; runs only end.

Random events disturb the engine: runs that fail or take long, directives, shutdowns, crashes around any commit or
between two launches, suspends, and changes of the clock. `ExpectedInstants`, which knows schedules but nothing of the
planner, records which instants were due; in the end, the database must account for exactly those.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from keiji.errors import AlreadyRunning, BackfillRunning, UsageError
from keiji.paths import Paths
from keiji.policy import Policy, Retry
from keiji.reasons import Code, Reason, reason
from keiji.records import Build, Run, RunResult
from keiji.schedule import Interval, Schedule, cron, every, on, once
from keiji.settings import Settings
from keiji.states import OPEN, BackfillState, RunState
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import DueInstant
from keiji_engine.events import Committed, EventBus
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.dispatch import HANDLERS
from keiji_engine.scheduler.backfill import plan_backfills
from keiji_engine.scheduler.clock_changes import SET_BACK
from keiji_engine.scheduler.model import Conditions
from keiji_engine.scheduler_service import (
    SchedulerService,
    apply_set_back,
    apply_set_forward,
    check_recorded_clock,
    note_clock,
    set_back_record,
)
from keiji_engine.state import EngineState
from keiji_engine.storage.async_store import AsyncStore
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.store import Store
from keiji_engine.storage.transactions import Operation, Query, T, request_run

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
DURATIONS = (1, 5, 30, 600, 40_000)  # seconds that runs take
_TICK = timedelta(microseconds=1)
_PREVIEWED = 50  # instants that are compared with what happens


class Crash(Exception):
    """The engine is killed at this point."""


class CrashPoint(StrEnum):
    """Where the engine is killed."""

    BEFORE_COMMIT = "before"
    AFTER_COMMIT = "claimed"  # the changes are stored; neither memory nor subscribers learn of them
    LAUNCHING = "launching"  # the first of the claimed runs is launched; the others are not


class SimulatedStore(AsyncStore):
    """A store that works in the event loop, without a thread, and can kill the engine before or after a commit.

    After that, `is_killed` is set, and it accepts no more changes.
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self.crash_at: CrashPoint | None = None
        self.is_killed = False

    async def read(self, query: Query[T]) -> T:
        return self.read_now(query)

    async def write_batch(
        self, batch: Sequence[Sequence[Operation]], *, flush: bool = True
    ) -> list[Changes | Exception]:
        if self.is_killed or self.crash_at is CrashPoint.BEFORE_COMMIT:
            self.is_killed = True
            raise Crash
        outcomes = self._open_store.write_batch(batch, flush=flush)
        if self.crash_at is CrashPoint.AFTER_COMMIT:
            self.is_killed = True
            raise Crash
        return outcomes

    def read_now(self, query: Query[T]) -> T:
        return self._open_store.read(query)

    def write_now(self, *operations: Operation) -> None:
        self._open_store.write(*operations)

    @property
    def _open_store(self) -> Store:
        assert self._store is not None
        return self._store


@dataclass
class ExpectedInstants:
    """Which instants of a task were due, according to its schedule and the clock alone.

    Args:
        schedule: the schedule in force since ``since``; None while nothing is due.
        since: up to then, ``due`` is complete.
        started: instants for which a run was started, or is queued.
        stale: instants that an interval, which counts from another moment since the clock was set back, does not have
            any more. Those that did not run lose their rows once the clock gets there.
        former: ``schedule`` and ``since`` before the clock was set back, until it is put right.
    """

    schedule: Schedule | None
    since: datetime
    due: set[datetime] = field(default_factory=set)
    started: set[datetime] = field(default_factory=set)
    stale: set[datetime] = field(default_factory=set)
    former: tuple[Schedule | None, datetime] | None = None

    def advance(self, now: datetime) -> None:
        """Add the instants up to ``now``."""
        while self.schedule is not None:
            instant = self.schedule.next_after(self.since)
            if instant is None or instant > now:
                break
            self.due.add(instant)
            self.since = instant
        self.since = max(self.since, now)

    def apply_set_back(self, now: datetime, schedule: Schedule) -> None:
        """Continue after the clock was set back to ``now``: instants ahead are due again, unless they were started."""
        if schedule != self.schedule:
            ahead = {instant for instant in self.due if instant > now and instant not in self.started}
            self.due -= ahead
            self.stale |= ahead
        self.former = self.former or (self.schedule, self.since)
        self.schedule, self.since = schedule, now

    def undo_set_back(self) -> None:
        """Continue after the clock was put right: what had happened before it was set back stands."""
        if self.former is not None:
            self.schedule, self.since = self.former
            self.former = None


class Simulation:
    """An engine with its tasks in virtual time.

    Args:
        limit: maximum number of live runs; 0 for no limit.
        begin: the first moment.
        schedule: returns the schedule of a task by its number; by default, one of many kinds is drawn.
        policy: returns the policy of a task; by default, one is drawn.
        durations: seconds that runs take; one is drawn for each run.
        backfills: whether backfills are among the disturbances.
        disturbance_days: mean time between two disturbances.
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
        backfills: bool = False,
        disturbance_days: float = 1.5,
    ) -> None:
        self.disturbance_days = disturbance_days
        self.has_backfills = backfills
        self.begin = begin
        self.durations = durations
        self.random = random.Random(seed)
        self.paths = Paths.under(folder)
        self.paths.create_folders()
        self.settings = Settings(time_zone="America/New_York", max_parallel_runs=limit)
        self.store = SimulatedStore(Store.open(self.settings, self.paths))
        self.state: EngineState | None = None
        self.now = begin
        self.ends: list[tuple[datetime, str, RunState]] = []  # when and how each live run ends, as a heap
        self.live: dict[str, Run] = {}
        self.stopped: set[str] = set()  # live runs that were asked to stop
        self.launched: Counter[tuple[str, datetime | str, int, int]] = Counter()  # task, instant, series, attempt
        self.started_at: dict[tuple[str, datetime], datetime] = {}
        self.events: Counter[str] = Counter()  # number of each kind of disturbance
        self.crash_at: CrashPoint | None = None
        self.expected: dict[str, ExpectedInstants] = {}
        self.preview: tuple[str, datetime, tuple[DueInstant, ...]] | None = None
        self.known_ahead: set[datetime] = set()
        self.previews_confirmed = 0
        for number in range(tasks):
            chosen = schedule(number) if schedule else self._draw_schedule(number)
            self._add_task(number, chosen, policy() if policy else self._draw_policy())
        self._fix_task_ids()

    def _add_task(self, number: int, schedule: Schedule, policy: Policy) -> None:
        slug = f"task{number:04}"
        build = Build(
            hash=f"{number:032x}", command=("python",), files={}, schedule=schedule, policy=policy, import_seconds=0,
            created_at=self.begin,
        )  # fmt: skip
        in_context = schedule.with_context(policy.schedule_context(anchor=self.begin, zone=self.settings.time_zone))
        next_at = in_context.next_after(self.begin)
        self.store.write_now(
            lambda tx: tx.tasks.create(slug, slug, "", self.begin),
            lambda tx: tx.tasks.activate(slug, build, in_context, next_at, now=self.begin),
        )
        self.expected[slug] = ExpectedInstants(in_context, self.begin)

    def _fix_task_ids(self) -> None:
        """Give the tasks ids that do not differ between runs of the simulation: the jitter of a run depends on them."""
        with contextlib.closing(sqlite3.connect(self.paths.database)) as database, database:
            database.execute("UPDATE tasks SET task_id = slug")

    def _draw_schedule(self, number: int) -> Schedule:
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

    def _draw_policy(self) -> Policy:
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

    # ── the engine ───────────────────────────────────────────────────────────────────────────────────────────────

    async def boot(self) -> None:
        """Start an engine: load the state, check the clock, and find out which runs were lost."""
        if self.state is not None:
            await self.state.close()
        self.store.is_killed = False
        events = EventBus()
        events.subscribe(Committed, self._launch_claimed)
        self.state = state = EngineState(self.paths, self.store, events)
        await state.load()
        self.context = Context(self.paths, lambda: self.settings, state, lambda: self.now)
        self.scheduler = SchedulerService(
            state,
            stop_run=self._request_stop,
            conditions=self._conditions,
            on_set_back=self._set_back,
            on_set_forward=self._set_forward,
            clock=lambda: self.now,
        )
        await self._check_clock()
        for run in state.open_runs():
            if run.is_live and run.run_id not in self.live:  # claimed, and not launched
                await self._record(run, RunState.LOST)

    def _conditions(self) -> Conditions:
        return Conditions(pause=self._state.pause, max_parallel=self.settings.max_parallel_runs or None)

    async def _check_clock(self) -> None:
        """Check the clock as an engine does that starts, and follow it in what is expected."""
        newest, record = self.store.read_now(lambda tx: (tx.history.newest_moment(), set_back_record(tx)))
        check = check_recorded_clock(self._state, self.settings, self.now)
        seen = newest if record is None else record.at
        if self.now < seen - SET_BACK or (record is not None and not record.is_complete):
            await self._expect_set_back(self.now, check)
            return
        await check
        if record is not None and record.is_undone(record.at, self.now):
            self._expect_correction(record.at)

    async def run(self, until: datetime, *, on_progress: Callable[[], None] = lambda: None) -> None:
        """Run the engine with disturbances until ``until``; ``on_progress`` is called after each."""
        await self.boot()
        disturbance_at = self._draw_disturbance_time()
        while self.now < until:
            try:
                with self._armed():
                    await self._settle()
            except Crash:
                self.events["crash"] += 1
                self._pass(self.random.choice([1, 600, 90_000]))
                await self.boot()
                continue
            if self.now >= disturbance_at:
                self._compare_preview()
                await self._disturb()
                disturbance_at = self._draw_disturbance_time()
                await self._settle()
                await self._take_preview()
                on_progress()
            else:
                self._advance(disturbance_at, until)
        await self._settle()
        for expected in self.expected.values():
            expected.advance(self.now)

    async def run_undisturbed(self, until: datetime) -> None:
        """Run a booted engine until ``until``."""
        while self.now < until:
            await self._settle()
            self._advance(until)

    def forget(self) -> None:
        """Drop the recorded events, so that only the memory of the engine is measured."""
        self.launched.clear()
        self.started_at.clear()
        for expected in self.expected.values():
            expected.schedule = None
            expected.started.clear()

    @property
    def _state(self) -> EngineState:
        assert self.state is not None, "boot() comes first"
        return self.state

    def _advance(self, *moments: datetime) -> None:
        """Set the clock to the first of ``moments``, or to the moment at which there is something to do."""
        view = self._state.scheduler_view(self.now, self._conditions())
        following = [*moments, *(end for end, _, _ in self.ends[:1])]
        following += [view.next_at] if view.next_at else []
        backfills, live, _ = self._state.running_backfills()
        _, retry_at = plan_backfills(backfills, live, self.now, self._conditions())
        following += [retry_at] if retry_at else []
        self.now = max(min(following), self.now + _TICK)

    @contextlib.contextmanager
    def _armed(self) -> Iterator[None]:
        """Kill the engine at the drawn crash point, if there is one and the engine gets there."""
        self.store.crash_at = self.crash_at
        try:
            yield
        except Crash:
            self.crash_at = None
            raise
        finally:
            self.store.crash_at = None

    async def _settle(self) -> None:
        """Let the engine do everything that there is to do at this moment."""
        seconds = 0.0
        while seconds <= 0:
            await self._record_ended()
            seconds = await self.scheduler.step()
            if self.store.is_killed:
                raise Crash
        await note_clock(self._state, self.now)

    async def _record_ended(self) -> None:
        """Record the results of the runs that have ended, concurrently, so that they are committed in batches."""
        ended: list[tuple[datetime, str, RunState]] = []
        while self.ends and self.ends[0][0] <= self.now:
            ended.append(heapq.heappop(self.ends))
        if not ended:
            return
        results = (
            self._record(self.live[run_id], RunState.STOPPED if run_id in self.stopped else state)
            for _, run_id, state in ended
        )
        outcomes = await asyncio.gather(*results, return_exceptions=True)
        for end, error in zip(ended, outcomes, strict=True):
            if error is not None:
                heapq.heappush(self.ends, end)  # reported again to the next engine
            else:
                self.stopped.discard(end[1])
                del self.live[end[1]]
        for error in filter(None, outcomes):
            raise error

    def _launch_claimed(self, event: Committed) -> None:
        for run in event.changes.runs.values():
            if run.state is RunState.STARTING and not self.store.is_killed:
                self._launch(run)
                self.store.is_killed = self.store.crash_at is CrashPoint.LAUNCHING

    def _launch(self, run: Run) -> None:
        self.launched[run.task, run.scheduled_for or run.run_id, run.series, run.attempt] += 1
        if run.scheduled_for is not None and run.series == 0:
            self.started_at.setdefault((run.task, run.scheduled_for), self.now)
            self.expected[run.task].started.add(run.scheduled_for)
        seconds = self.random.choice(self.durations)
        state = self.random.choice([RunState.SUCCEEDED] * 4 + [RunState.FAILED])
        self.live[run.run_id] = run
        heapq.heappush(self.ends, (self.now + timedelta(seconds=seconds), run.run_id, state))

    def _request_stop(self, run_id: str, why: Reason) -> None:
        if self.store.is_killed or run_id not in self.live:
            return
        self.stopped.add(run_id)
        self.ends = [(self.now if id_ == run_id else end, id_, state) for end, id_, state in self.ends]
        heapq.heapify(self.ends)

    async def _record(self, run: Run, state: RunState) -> None:
        """Record the end of a run, and its retry if the policy wants one."""
        task = self._state.task(run.task)
        retry_at = None
        if state is RunState.FAILED and task is not None and not task.is_disabled:
            delay = task.policy.retry.delay_after(run.attempt, jitter_fraction=self.random.random())
            retry_at = None if delay is None else self.now + timedelta(seconds=delay)
        why = reason(Code.EXIT_CODE, exit_code=1) if state is RunState.FAILED else None
        result = RunResult(run_id=run.run_id, state=state, finished_at=self.now, reason=why)
        await self._state.apply(lambda tx: tx.runs.finish(result, retry_at=retry_at))

    async def _set_back(self, seen: datetime) -> None:
        await self._expect_set_back(seen, apply_set_back(self._state, self.settings, seen, self.now))

    async def _expect_set_back(self, seen: datetime, change: Awaitable[None]) -> None:
        """Apply a set-back of the clock by ``change``, and follow it in what is expected.

        Args:
            seen: the latest moment that this engine has seen.
        """
        for expected in self.expected.values():
            expected.advance(seen)
        for run in self._state.open_runs():  # a queued run will start, even if its instant is ahead again
            if run.scheduled_for is not None and run.series == 0:
                self.expected[run.task].started.add(run.scheduled_for)
        before = {task.slug: task for task in self._state.tasks()}
        await change
        for task in self._state.tasks():
            assert task.schedule is not None
            is_affected = task != before[task.slug] or not isinstance(task.schedule, Interval)
            if is_affected and not task.is_disabled:
                self.expected[task.slug].apply_set_back(self.now, task.schedule)

    async def _set_forward(self, seen: datetime) -> None:
        record = self.store.read_now(set_back_record)
        await apply_set_forward(self._state, self.settings, seen, self.now)
        if record is not None and record.is_undone(seen, self.now):
            self._expect_correction(seen)

    def _expect_correction(self, seen: datetime) -> None:
        """Expect that a set-back is undone; ``seen`` is the last reading of the wrong clock."""
        self.events["clock put right"] += 1
        self.preview = None
        for slug, expected in self.expected.items():
            if expected.former is None:
                continue
            expected.advance(seen)
            # The engine may have been killed just after later instants.
            rows = [run for run in self.rows(slug) if run.series == 0]
            expected.due |= {run.scheduled_for for run in rows if run.scheduled_for} - expected.stale
            expected.undo_set_back()

    # ── disturbances ─────────────────────────────────────────────────────────────────────────────────────────────

    def _draw_disturbance_time(self) -> datetime:
        return self.now + timedelta(days=self.random.expovariate(1 / self.disturbance_days))

    async def _disturb(self) -> None:
        kinds = [self._stop_and_start, self._crash_soon, self._crash_soon, self._suspend, self._set_clock]
        if self.has_backfills:
            kinds += [self._control_backfills] * 8 + [self._crash_soon] * 4
        await self.random.choice([*kinds, *[self._directive] * 5, self._run_manually])()

    async def _stop_and_start(self) -> None:
        self.events["stop"] += 1
        self._pass(self.random.choice([5, 4000, 90_000, 400_000]))
        await self.boot()

    def _pass(self, seconds: float) -> None:
        """Let time pass without an engine: runs end, which the next engine records."""
        self.now += timedelta(seconds=seconds)

    async def _crash_soon(self) -> None:
        self.crash_at = self.random.choice(list(CrashPoint))

    async def _suspend(self) -> None:
        self.events["suspend"] += 1
        self._shift(self.random.choice([20, 4000, 90_000]))

    async def _set_clock(self) -> None:
        seconds = self.random.choice([3600, 100_000, -30, -3700, -100_000])
        self.events["clock set forward" if seconds > 0 else "clock set back"] += 1
        self._shift(seconds)

    def _shift(self, seconds: float) -> None:
        """Move the clock while the live runs make no progress."""
        step = timedelta(seconds=seconds)
        self.now += step
        self.ends = [(end + step, run_id, state) for end, run_id, state in self.ends]

    async def _run_manually(self) -> None:
        self.events["run"] += 1
        slug = self.random.choice(list(self.expected))
        with contextlib.suppress(AlreadyRunning):
            await self._state.apply(request_run(slug, self.now, self.settings.max_parallel_runs or None))

    async def _directive(self) -> None:
        """Send a directive that changes whether a task runs by its schedule, at times to a busy engine.

        Such an engine has not decided yet about what has become due.
        """
        self.now += timedelta(seconds=self.random.choice([0, 0, 50, 30_000]))
        slug = self.random.choice(list(self.expected))
        task = self._state.find(slug)
        if task.held_at is not None:
            directive: p.Directive = p.Resolve(task=slug)
        elif self._state.pause is not None:
            directive = p.ResumeSystem()
        elif task.pause is not None:
            directive = p.ResumeTask(task=slug)
        elif task.is_disabled:
            directive = p.Enable(task=slug)
        else:
            directive = self.random.choice(
                [p.PauseTask(task=slug), p.PauseSystem(reason="moving"), p.Disable(task=slug)]
            )
        self.events[directive.verb] += 1
        expected = self.expected[slug]
        expected.advance(self.now)
        await HANDLERS[type(directive)](self.context, directive)
        if isinstance(directive, p.Disable):
            expected.schedule = expected.former = None
        if isinstance(directive, p.Enable):
            expected.schedule, expected.since = self._state.find(slug).schedule, self.now
            expected.former = None

    async def _control_backfills(self) -> None:
        """Create a backfill, or stop one, or resume it."""
        known = self.store.read_now(lambda tx: tx.backfills.latest(1000))
        running = {each.task: each for each in known if each.state is BackfillState.RUNNING}
        stopped = [each for each in known if each.state is BackfillState.STOPPED and each.task not in running]
        directive: p.Directive
        if running and self.random.random() < 0.3:
            chosen = self.random.choice(list(running.values()))
            directive = p.StopBackfill(task=chosen.task, backfill=chosen.id)
        elif stopped and self.random.random() < 0.5:
            chosen = self.random.choice(stopped)
            directive = p.ResumeBackfill(task=chosen.task, backfill=chosen.id)
        else:
            slug = self.random.choice(list(self.expected))
            policy = self._state.find(slug).policy
            begin = self.now - timedelta(days=self.random.randrange(1, 40))
            directive = p.BackfillTask(
                task=slug,
                begin=begin.isoformat(),
                end=(begin + timedelta(days=self.random.randrange(1, 40))).isoformat(),
                parallel=self.random.choice([1, 2]) if policy.overlap == "allow" and policy.max_parallel != 1 else 1,
                again=self.random.random() < 0.5,
            )
        with contextlib.suppress(UsageError, BackfillRunning):  # no instants in the range; a second one
            await HANDLERS[type(directive)](self.context, directive)
            self.events[directive.verb] += 1

    # ── previews ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _take_preview(self) -> None:
        """Ask when a task is due, to compare it with what has happened before the next disturbance."""
        slug = self.random.choice([task.slug for task in self._state.tasks()])
        reply = await HANDLERS[p.GetUpcoming](self.context, p.GetUpcoming(task=slug, count=_PREVIEWED, after=self.now))
        assert isinstance(reply, p.Upcoming)
        self.preview = None if self._state.find(slug).is_disabled else (slug, self.now, reply.instants)
        # Rows that are ahead of the clock since it was set back.
        self.known_ahead = self.store.read_now(lambda tx: tx.runs.instants_after(slug, self.now))

    def _compare_preview(self) -> None:
        if self.preview is None:
            return
        slug, since, instants = self.preview
        until = min(self.now, instants[-1].at) if len(instants) == _PREVIEWED else self.now
        previewed = {due.at: due for due in instants if due.at <= until and not due.is_skipped}
        happened = {
            run.scheduled_for
            for run in self.rows(slug, 200)
            if (run.series, run.attempt) == (0, 1)
            and run.scheduled_for is not None
            and since < run.scheduled_for <= until
        } - self.known_ahead
        happened -= self.expected[slug].stale - previewed.keys()
        assert happened == previewed.keys(), (
            f"{slug}, preview at {since} until {until}: did not happen: {sorted(previewed.keys() - happened)}, "
            f"not in the preview: {sorted(happened - previewed.keys())}"
        )
        for due in previewed.values():
            started_at = self.started_at.get((slug, due.at))
            assert started_at is None or started_at >= due.starts_at, f"{slug}: started too early for {due.at}"
            self.previews_confirmed += 1

    # ── checks ───────────────────────────────────────────────────────────────────────────────────────────────────

    def rows(self, slug: str, limit: int = 10**6) -> list[Run]:
        """Return the rows of a task, newest first."""
        return self.store.read_now(lambda tx: tx.runs.latest(slug, limit))

    def check(self) -> int:
        """Compare the rows in the database with what is expected; return the number of due instants."""
        assert max(self.launched.values(), default=0) <= 1, "an attempt was launched twice"
        total = 0
        for slug, expected in self.expected.items():
            rows = [run for run in self.rows(slug) if run.scheduled_for and (run.series, run.attempt) == (0, 1)]
            stale = expected.stale - expected.due
            rows = [run for run in rows if run.scheduled_for not in stale]
            instants = [run.scheduled_for for run in rows if run.scheduled_for is not None]
            assert len(instants) == len(set(instants)), f"{slug}: two rows for one instant"
            never_due = set(instants) - expected.due
            assert not never_due, f"{slug}: rows for instants that were never due: {sorted(never_due)[:3]}"
            count = sum(run.count for run in rows)
            assert count == len(expected.due), f"{slug}: {len(expected.due)} instants were due, {count} have rows"
            total += count
        return total

    def check_backfills(self) -> Counter[BackfillState]:
        """Compare each backfill with its rows and with its schedule; return the number of backfills by state."""
        assert max(self.launched.values(), default=0) <= 1, "an attempt was launched twice"
        counts: Counter[BackfillState] = Counter()
        for backfill in self.store.read_now(lambda tx: tx.backfills.latest(10**6)):
            counts[backfill.state] += 1
            own = [run for run in self.rows(backfill.task) if run.series == backfill.series]
            instants = sorted(run.scheduled_for for run in own if run.scheduled_for and run.attempt == 1)
            expected = [backfill.first]
            while expected[-1] < backfill.last:
                following = backfill.schedule.next_after(expected[-1])
                assert following is not None
                expected.append(following)
            assert len(expected) == backfill.total
            reached = [instant for instant in expected if backfill.next_at is None or instant < backfill.next_at]
            assert len(set(instants)) == len(instants) == backfill.claimed, "an instant has two runs, or none"
            assert set(instants) <= set(reached)
            assert len(instants) + backfill.skipped == len(reached), "an instant is forgotten"
            skipped = set(reached) - set(instants)
            succeeded = {run.scheduled_for for run in self.rows(backfill.task) if run.state is RunState.SUCCEEDED}
            assert skipped <= succeeded, "an instant was skipped that has not succeeded"
            assert not (skipped and backfill.again)
            last = {run.scheduled_for: run for run in sorted(own, key=lambda run: run.attempt)}
            assert backfill.open == sum(run.state in OPEN for run in last.values())
            assert backfill.succeeded == sum(run.state is RunState.SUCCEEDED for run in last.values())
            assert (backfill.state is BackfillState.DONE) <= (backfill.next_at is None and backfill.open == 0)
        return counts

    async def close(self) -> None:
        """End the engine, and close the database."""
        if self.state is not None:
            await self.state.close()
        await self.store.close()
