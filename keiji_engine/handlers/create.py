"""create: a new task from the template."""

from __future__ import annotations

import asyncio

from keiji import names
from keiji.errors import TaskExists, WorkspaceMissing
from keiji.schedule.parse import parse_schedule
from keiji_engine import builds
from keiji_engine.bus.protocol import Create, Done
from keiji_engine.handlers.context import Context


async def create(context: Context, request: Create) -> Done:
    """Write the sources of a task and record it. Raises InvalidName, InvalidSchedule, TaskExists, WorkspaceMissing."""
    name = names.validate(request.name)
    slug = names.slug_of(name)
    description = names.one_line(request.description)
    schedule = parse_schedule(request.schedule).source_form() if request.schedule.strip() else ""
    source = context.paths.source(slug)
    if not await asyncio.to_thread(context.paths.tasks.is_dir):
        raise WorkspaceMissing(f"{context.paths.tasks} does not exist", hint="keiji init creates a workspace")
    async with context.lock(slug):
        names.ensure_unique(name, slug, context.state.names(but=slug))
        known = context.state.task(slug)
        if known is not None and not request.force:
            raise TaskExists(
                f"there is already a task {known.name!r}, at {source}",
                hint="--force replaces its sources with the template",
            )
        if not request.force and await asyncio.to_thread(source.exists):
            hint = f"keiji task build {slug} uses it as it is; --force replaces it"
            raise TaskExists(f"{source} already exists", hint=hint)
        await asyncio.to_thread(
            builds.create_task_folder, source, name, description, schedule=schedule, force=request.force
        )
        if known is None:
            now = context.clock()
            await context.state.apply(lambda transaction: transaction.tasks.create(name, slug, description, now))
        else:
            await context.state.apply(
                lambda transaction: transaction.tasks.update_details(slug, name=name, description=description)
            )
    return Done(id=request.id, lines=(f"creating task {name}", f"sourcePath: {source}", "ok"))
