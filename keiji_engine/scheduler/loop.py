"""Sleeps until something is due or somebody nudges, then has the plan carried out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime, tzinfo
from typing import Protocol

from keiji.errors import KeijiError
from keiji.records import Run, Task
from keiji_engine.scheduler.planner import Plan, plan

# The wall clock may be set, or the machine may have slept: no wait is longer than this, in seconds.
LONGEST_WAIT = 1.0


class World(Protocol):
    """What the scheduler looks at."""

    def tasks(self) -> list[Task]: ...

    def open_runs(self) -> list[Run]: ...


class Scheduler:
    """The loop.

    Args:
        world: read before each plan.
        carry_out: makes a plan true: records it, then starts what is to start. What it refuses is tried again.
        can_run: whether anything can be started now.
        zone: in which reasons give times; called for each plan, since a reload may change it.
        note: takes a line for the log of the service, and its level.
    """

    def __init__(
        self,
        *,
        world: World,
        carry_out: Callable[[Plan], Awaitable[None]],
        can_run: Callable[[], bool],
        clock: Callable[[], datetime],
        zone: Callable[[], tzinfo],
        note: Callable[[str, str], None],
    ) -> None:
        self._world = world
        self._carry_out = carry_out
        self._can_run = can_run
        self._clock = clock
        self._zone = zone
        self._note = note
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """Something changed: look again at once."""
        self._nudged.set()

    async def serve(self, ready: Callable[[], None]) -> None:
        """Schedule until cancelled."""
        self._note("running start function", "INFO")
        ready()
        former: Plan | None = None
        while True:
            self._nudged.clear()
            decided = plan(
                self._world.tasks(),
                self._world.open_runs(),
                self._clock(),
                zone=self._zone(),
                can_run=self._can_run(),
            )
            # The same decision again means that it could not be carried out: a loop must not spin on that.
            is_stuck = decided == former
            former = None if is_stuck else decided
            if (decided.claims or decided.begin) and not is_stuck:
                await self._settle(decided)
            else:
                await self._wait(decided.wake_at)

    async def _settle(self, decided: Plan) -> None:
        work = asyncio.ensure_future(self._carry_out(decided))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            # What is claimed has to be shown and launched as well, or it would be lost.
            await asyncio.wait([work])
            raise
        except KeijiError as error:
            self._note(f"{_listed(decided)} could not be recorded, trying again: {error.message}", "ERROR")

    async def _wait(self, wake_at: datetime | None) -> None:
        seconds = LONGEST_WAIT
        if wake_at is not None:
            seconds = min(max((wake_at - self._clock()).total_seconds(), 0.0), LONGEST_WAIT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nudged.wait()


def _listed(decided: Plan) -> str:
    tasks = dict.fromkeys(claim.task for claim in decided.claims)
    return f"occurrences of {', '.join(tasks)}" if decided.claims else "runs that are due"
