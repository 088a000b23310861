"""build: from the sources of a task to its active build."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from keiji import names
from keiji.errors import TaskNotFound
from keiji.records import Task
from keiji_engine import builds
from keiji_engine.bus.protocol import BuildTask, Done
from keiji_engine.handlers.desk import Desk
from keiji_engine.handlers.restart import begin_anew
from keiji_engine.storage.store import Store


async def build(desk: Desk, request: BuildTask) -> Done:
    """Build a task and switch to the build; the old one stays active where that fails. Raises BuildFailed."""
    source = _source(desk, request.task)
    lines = ["task found , building..."]
    made, upcoming = await builds.build(
        source, desk.paths.builds, python=sys.executable, now=desk.clock(), zone=desk.settings().time_zone
    )
    task = await _recorded(desk, source)
    schedule, next_at = desk.placed(made.schedule)
    lines.append(f"scheduling function... {schedule.words()}")
    task = await desk.ledger.do(Store.activate, task.slug, made, schedule, next_at, now=desk.clock())
    link = desk.paths.link(task.slug)
    await asyncio.to_thread(builds.link, link, made)
    desk.board.put_task(task, made)
    lines += [f"sourcePath: {source}", f"executable path {link}", f"executable created (build {made.hash})"]
    lines.append("task saved")
    if request.restart:
        lines.append(f"restarting task {task.name}")
        await begin_anew(desk, task)
    else:
        desk.tell_schedule(task)
    if desk.control is not None:
        desk.control.recheck_sources(task.slug)
    desk.nudge()
    zone = desk.settings().zone
    shown = ", ".join(f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M:%S}" for moment in upcoming[:3])
    lines.append(f"next: {shown}" if not task.is_disabled else "the task is disabled: keiji task enable lets it run")
    return Done(id=request.id, lines=tuple(lines))


def _source(desk: Desk, wanted: str) -> Path:
    """Return the folder of the sources that ``wanted`` names: of a known task, or one that was put there by hand."""
    slug = names.slug_of(wanted)
    by_hand = desk.paths.source(slug)
    if slug and by_hand.is_dir() and desk.board.task(slug) is None:
        return by_hand
    source = desk.paths.source(desk.board.find(wanted).slug)
    if not source.is_dir():
        raise TaskNotFound(f"the sources of {wanted!r} are not at {source}", hint="put them back, or delete the task")
    return source


async def _recorded(desk: Desk, source: Path) -> Task:
    """Return the task of a folder, new where it was unknown, named as its .env says."""
    values = builds.read_env(source)
    name = names.checked(values.get("NAME") or source.name)
    description = values.get("DESCRIPTION", "")
    known = desk.board.task(source.name)
    if known is None:
        return await desk.ledger.do(Store.create_task, name, source.name, description, desk.clock())
    if (known.name, known.description) != (name, description):
        return await desk.ledger.do(Store.describe, known.slug, name=name, description=description)
    return known
