"""Sleeps until something is due or somebody nudges, then has the plan carried out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from keiji.errors import KeijiError
from keiji.records import Run, Task
from keiji_engine.scheduler.planner import Conditions, Plan, plan

# The wall clock may be set, or the machine may have slept: no wait is longer than this, in seconds.
LONGEST_WAIT = 1.0
# Clocks are kept right by small steps, also backwards; what is set back by more was set by somebody.
SET_BACK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class SchedulerView:
    """What of the world matters at a moment.

    Args:
        tasks: those that are due, and those with queued runs.
        open_runs: all runs that have not ended.
        following: when the first of the other tasks is due.
    """

    tasks: tuple[Task, ...]
    open_runs: tuple[Run, ...]
    following: datetime | None


class World(Protocol):
    """What the scheduler looks at."""

    def sight(self, now: datetime) -> SchedulerView: ...


class SchedulerService:
    """The loop.

    Args:
        world: looked at before each plan.
        carry_out: makes a plan true: records it, then starts what is to start. Returns whether that changed anything.
            What it refuses is tried again.
        apply_set_back: is told when the clock was set back, before the next plan, with the time that was seen last.
        conditions: called for each plan, since a reload or a directive may change them.
        note: takes a line for the log of the service, and its level.
    """

    def __init__(
        self,
        *,
        world: World,
        carry_out: Callable[[Plan], Awaitable[bool]],
        apply_set_back: Callable[[datetime], Awaitable[None]],
        conditions: Callable[[], Conditions],
        clock: Callable[[], datetime],
        note: Callable[[str, str], None],
    ) -> None:
        self._world = world
        self._carry_out = carry_out
        self._turn_back = apply_set_back
        self._conditions = conditions
        self._clock = clock
        self._note = note
        self._nudged = asyncio.Event()
        self._seen: datetime | None = None

    def nudge(self) -> None:
        """Something changed: look again at once."""
        self._nudged.set()

    async def serve(self, ready: Callable[[], None]) -> None:
        """Schedule until cancelled."""
        self._note("running start function", "INFO")
        ready()
        while True:
            self._nudged.clear()
            await self._wait(await self.step())

    async def step(self) -> float:
        """Decide and act once; return for how many seconds there is nothing to do, unless somebody nudges."""
        try:
            await self._look_at_clock()
        except KeijiError as error:
            self._note(f"the clock was set back, and tasks could not be moved yet: {error.message}", "ERROR")
            return LONGEST_WAIT
        now = self._clock()
        sight = self._world.sight(now)
        decided = plan(sight.tasks, sight.open_runs, now, self._conditions(), following=sight.following)
        if decided and await self._settle(decided):
            return 0.0
        return self._until(decided.wake_at, is_stuck=bool(decided))

    def _until(self, wake_at: datetime | None, *, is_stuck: bool) -> float:
        """Return how long to wait for what is due next.

        A plan that changed nothing was overtaken, or cannot be carried out: a loop must not spin on that.
        """
        seconds = LONGEST_WAIT if wake_at is None else (wake_at - self._clock()).total_seconds()
        if seconds <= 0:
            return LONGEST_WAIT if is_stuck else 0.0
        return min(seconds, LONGEST_WAIT)

    async def _look_at_clock(self) -> None:
        now, seen = self._clock(), self._seen
        if seen is not None and now < seen - SET_BACK:
            self._note(f"the clock was set back by {seen - now}", "WARN")
            await self._turn_back(seen)
        self._seen = now

    async def _settle(self, decided: Plan) -> bool:
        work = asyncio.ensure_future(self._carry_out(decided))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # What is claimed has to be shown and launched as well, or it would be lost.
            await asyncio.wait([work])
            raise
        except KeijiError as error:
            self._note(f"{_listed(decided)} could not be recorded, trying again: {error.message}", "ERROR")
            return False

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nudged.wait()


def _listed(decided: Plan) -> str:
    names = decided.tasks
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"occurrences of {shown}" if names else "runs that are due"
