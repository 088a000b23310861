"""The loop: it acts when something is due, does not spin on what cannot be done, and notices a clock that is set."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from planning import make_task, at, queued, running, with_policy

from keiji.errors import StorageError
from keiji.records import Run, Task
from keiji_engine.scheduler.planner import Conditions, Plan
from keiji_engine.scheduler_service import LONGEST_WAIT, SchedulerService, SchedulerView


class World:
    """One task, a clock that is set by hand, and what was done."""

    def __init__(self, task: Task | None = None) -> None:
        self.task = task or a_task()
        self.now = at(0)
        self.plans: list[Plan] = []
        self.turned: list[datetime] = []
        self.notes: list[str] = []
        self.changes = True
        self.open_runs: tuple[Run, ...] = ()
        self.following: datetime | None = None
        self.fails: Callable[[], None] = lambda: None
        self.scheduler = SchedulerService(
            world=self,
            carry_out=self.carry_out,
            apply_set_back=self.apply_set_back,
            conditions=Conditions,
            clock=lambda: self.now,
            note=lambda text, level: self.notes.append(f"{level} {text}"),
        )

    def sight(self, now: datetime) -> SchedulerView:
        return SchedulerView((self.task,), self.open_runs, self.following)

    async def carry_out(self, plan: Plan) -> bool:
        self.plans.append(plan)
        self.fails()
        return self.changes

    async def apply_set_back(self, seen: datetime) -> None:
        self.turned.append(seen)
        self.fails()

    async def step_at(self, seconds: float) -> float:
        self.now = at(seconds)
        return await self.scheduler.step()


async def test_it_waits_until_something_is_due_but_never_longer_than_a_second() -> None:
    world = World()
    assert await world.step_at(0) == LONGEST_WAIT
    assert await world.step_at(9.75) == 0.25
    assert world.plans == []


async def test_it_acts_when_something_is_due_and_looks_again_at_once() -> None:
    world = World()
    assert await world.step_at(10) == 0.0
    assert [plan.tasks for plan in world.plans] == [["ping"]]


async def test_a_plan_that_was_overtaken_is_not_tried_again_at_once() -> None:
    world = World()
    world.changes = False
    assert await world.step_at(10) == LONGEST_WAIT


async def test_while_a_run_that_is_replaced_ends_the_others_are_on_time() -> None:
    world = World(with_policy(overlap="replace", seconds=1000))
    world.open_runs = (running(), queued(10))
    world.following = at(10.5)
    world.changes = False
    assert await world.step_at(10.25) == 0.25
    assert world.plans[0].stop


async def test_a_database_that_is_away_is_waited_for_and_said() -> None:
    def away() -> None:
        raise StorageError("the database is away")

    world = World()
    world.fails = away
    assert await world.step_at(10) == LONGEST_WAIT
    assert world.notes == ["ERROR occurrences of ping could not be recorded, trying again: the database is away"]


async def test_a_clock_that_is_set_back_is_noticed_before_anything_else_and_until_it_is_dealt_with() -> None:
    def away() -> None:
        raise StorageError("the database is away")

    world = World()
    await world.step_at(5)
    await world.step_at(4.5)
    assert world.turned == [], "clocks are kept right by small steps"
    world.fails = away
    assert await world.step_at(-60) == LONGEST_WAIT
    world.fails = lambda: None
    await world.step_at(-59)
    assert world.turned == [at(4.5), at(4.5)]
    await world.step_at(-58)
    assert len(world.turned) == 2
    assert world.notes[0] == "WARN the clock was set back by 0:01:04.500000"


async def test_a_clock_that_is_set_forth_is_a_second_late_at_most() -> None:
    world = World()
    await world.step_at(0)
    assert await world.step_at(100_000) == 0.0
    assert world.plans[0].claims[-1].scheduled_for == at(100_000)
