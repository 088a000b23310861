"""create: a new task from the template."""

from __future__ import annotations

import asyncio

from keiji import names
from keiji.errors import TaskExists, WorkspaceMissing
from keiji.schedule.parse import parse_schedule
from keiji_engine import builds
from keiji_engine.bus.protocol import Create, Done
from keiji_engine.handlers.context import Context
from keiji_engine.storage.store import Store


async def create(desk: Context, request: Create) -> Done:
    """Write the sources of a task and record it. Raises InvalidName, InvalidSchedule, TaskExists, WorkspaceMissing."""
    name = names.validate(request.name)
    slug = names.slug_of(name)
    description = names.one_line(request.description)
    schedule = parse_schedule(request.schedule).source_form() if request.schedule.strip() else ""
    source = desk.paths.source(slug)
    if not desk.paths.tasks.is_dir():
        raise WorkspaceMissing(f"{desk.paths.tasks} is not there", hint="keiji init makes a workspace")
    async with desk.alone(slug):
        names.check_free(name, slug, desk.board.names(but=slug))
        known = desk.board.task(slug)
        if known is not None and not request.force:
            raise TaskExists(
                f"there is a task {known.name!r} already, at {source}",
                hint="--force replaces its sources with the template",
            )
        if source.exists() and not request.force:
            raise TaskExists(
                f"{source} is there already", hint=f"keiji task build {slug} takes it as it is; --force replaces it"
            )
        await asyncio.to_thread(builds.create, source, name, description, schedule=schedule, force=request.force)
        if known is None:
            desk.board.add_task(await desk.ledger.do(Store.create_task, name, slug, description, desk.clock()))
        else:
            desk.board.put_task(await desk.ledger.do(Store.describe, slug, name=name, description=description))
    return Done(id=request.id, lines=(f"creating task {name}", f"sourcePath: {source}", "ok"))
