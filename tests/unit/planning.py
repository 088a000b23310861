"""Tasks and runs for tests of the scheduler, at moments given in seconds after START."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from keiji.policy import Policy
from keiji.records import Pause, Run, Task
from keiji.schedule import ScheduleContext, every
from keiji.states import RunState, Trigger
from keiji_engine.scheduler.agenda import Agenda

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the moment ``seconds`` after START."""
    return START + timedelta(seconds=seconds)


def make_task(slug: str = "ping", seconds: int = 10, **changes: Any) -> Task:
    """Return a built task that is due every ``seconds``, first at START + ``seconds``."""
    schedule = every(seconds).seconds.with_context(ScheduleContext(anchor=START))
    task = Task(
        id=1, task_id=slug, name=slug, slug=slug, schedule=schedule, build="b1", next_at=schedule.next_after(START)
    )
    return replace(task, **changes)


def make_task_with_policy(slug: str = "ping", seconds: int = 10, **policy: Any) -> Task:
    """Return a task as `make_task` does, with a policy."""
    return make_task(slug, seconds, policy=Policy(**policy))


def make_run(state: RunState, run_id: str = "r1", slug: str = "ping", **values: Any) -> Run:
    """Return a run that was created at START, and has been running since then if it is RUNNING."""
    defaults: dict[str, Any] = {
        "trigger": Trigger.SCHEDULE,
        "created_at": START,
        "started_at": START if state is RunState.RUNNING else None,
    }
    return Run(run_id=run_id, task=slug, state=state, **(defaults | values))


def running(run_id: str = "r1", slug: str = "ping") -> Run:
    return make_run(RunState.RUNNING, run_id, slug)


def queued(due: float, run_id: str = "q1", slug: str = "ping", **values: Any) -> Run:
    """Return a queued run that may start at START + ``due``."""
    return make_run(RunState.QUEUED, run_id, slug, due_at=at(due), **values)


def make_agenda(tasks: Sequence[Task], runs: Iterable[Run] = (), pause: Pause | None = None) -> Agenda:
    """Return an agenda of tasks and open runs; a task that only a run names is never due."""
    agenda = Agenda()
    for task in tasks:
        agenda.set_task(task)
    known = {task.slug for task in tasks}
    for run in runs:
        if run.task not in known:
            known.add(run.task)
            agenda.set_task(make_task(run.task, next_at=None))
        agenda.set_run(run)
    agenda.set_pause(pause)
    return agenda
