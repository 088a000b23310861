"""build: from the sources of a task to its active build."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from itertools import islice
from pathlib import Path

from keiji import names
from keiji.errors import BuildFailed, TaskNotFound
from keiji.records import Build, Task
from keiji.schedule import Schedule
from keiji.states import RunState
from keiji_engine import builds
from keiji_engine.bus.protocol import BuildTask, Done
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.restart import begin_anew
from keiji_engine.storage.store import Store


async def build(desk: Context, request: BuildTask) -> Done:
    """Build a task and switch to the build; the old one stays active where that fails. Raises BuildFailed."""
    source = _source(desk, request.task)
    async with desk.building(source.name):
        known = desk.board.task(source.name)
        if known is not None and request.restart:
            desk.check_stoppable(known)  # before anything is switched
        try:
            made, _ = await builds.build(
                source, desk.paths.builds, python=sys.executable, now=desk.clock(), zone=desk.settings().time_zone
            )
        except BuildFailed as error:
            if known is None or known.build is None:
                raise
            stays = f"the build before it ({known.build}) stays active"
            raise BuildFailed(error.message, hint="\n".join(filter(None, (error.hint, stays)))) from error
        async with desk.alone(source.name):
            current = desk.board.task(source.name)
            if known is not None and (current is None or current.task_id != known.task_id):
                raise TaskNotFound(f"the task {known.name!r} was deleted while it was built")
            lines = await _switch(desk, source, made, restart=request.restart)
    desk.nudge()
    return Done(id=request.id, lines=("task found , building...", *lines, _next(desk, source.name)))


async def _switch(desk: Context, source: Path, made: Build, *, restart: bool) -> list[str]:
    """Make a build the active one, and return what to tell of it."""
    task = await _recorded(desk, source)
    now = desk.clock()
    if task.schedule is None or not made.schedule.is_same_as(task.schedule):
        reason = "the task got another schedule before it could run"
        task = await desk.settle_overdue(task, RunState.MISSED, reason, now)
    schedule, next_at = _placed(desk, task, made, now)
    task = await desk.ledger.do(Store.activate, task.slug, made, schedule, next_at, now=desk.clock())
    desk.board.put_task(task, made)
    link = desk.paths.link(task.slug)
    await asyncio.to_thread(builds.activate, link, made)
    lines = [
        f"scheduling function... {schedule.describe()}",
        f"sourcePath: {source}",
        f"executable path {link}",
        f"executable created (build {made.hash})",
        "task saved",
    ]
    if restart:
        lines.append(f"restarting task {task.name}")
        await begin_anew(desk, task)
    else:
        desk.tell_schedule(task)
    if desk.control is not None:
        desk.control.recheck_sources(task.slug)
    return lines


def _placed(desk: Context, task: Task, made: Build, now: datetime) -> tuple[Schedule, datetime | None]:
    """Return the placed schedule and its next instant. One that says the same as before goes on as it was.

    Otherwise a task that is built more often than it is due would never run.
    """
    if task.schedule is None or task.next_at is None or not made.schedule.is_same_as(task.schedule):
        return desk.anchor(made.schedule, made.policy, now)
    return desk.moved(task, made.policy)


def _next(desk: Context, slug: str) -> str:
    task = desk.board.task(slug)
    if task is None or task.schedule is None or task.is_disabled:
        return f"the task is disabled: keiji task enable {slug} lets it run"
    zone = desk.settings().zone
    upcoming = islice(task.schedule.upcoming(desk.clock()), 3)
    return "next: " + ", ".join(f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M:%S}" for moment in upcoming)


def _source(desk: Context, wanted: str) -> Path:
    """Return the folder of the sources that ``wanted`` names: of a known task, or one that was put there by hand."""
    slug = names.slug_of(wanted)
    by_hand = desk.paths.source(slug)
    if slug and by_hand.is_dir() and desk.board.task(slug) is None:
        return by_hand
    source = desk.paths.source(desk.board.find(wanted).slug)
    if not source.is_dir():
        raise BuildFailed(f"the sources of {wanted!r} are not at {source}", hint="put them back, or delete the task")
    return source


async def _recorded(desk: Context, source: Path) -> Task:
    """Return the task of a folder, new where it was unknown, named as its .env says. Raises InvalidName, TaskExists."""
    values = builds.read_env(source)
    name = names.validate(values.get("NAME") or source.name)
    description = names.one_line(values.get("DESCRIPTION", ""))
    names.check_free(name, source.name, desk.board.names(but=source.name))
    known = desk.board.task(source.name)
    if known is None:
        task = await desk.ledger.do(Store.create_task, name, source.name, description, desk.clock())
        desk.board.add_task(task)
        return task
    if (known.name, known.description) != (name, description):
        return await desk.ledger.do(Store.describe, known.slug, name=name, description=description)
    return known
