"""get-build, get-difference: the active build of a task, and how its sources differ from it."""

from __future__ import annotations

import asyncio

from keiji.errors import BuildFailed, NotBuilt
from keiji.records import Build, FileDifference, Task
from keiji_engine import builds
from keiji_engine.builds.difference import difference
from keiji_engine.bus import protocol as p
from keiji_engine.handlers.context import Context


async def get_build(context: Context, request: p.GetBuild) -> p.ActiveBuild:
    """Return the active build of a task. Raises TaskNotFound, NotBuilt."""
    task, build = _built(context, request.task)
    return p.ActiveBuild(
        id=request.id,
        task=task.slug,
        hash=build.hash,
        created_at=build.created_at,
        import_seconds=build.import_seconds,
        files=len(build.files),
    )


async def get_difference(context: Context, request: p.GetDifference) -> p.Difference:
    """Compare a task's folder with its build. Raises TaskNotFound, NotBuilt; BuildFailed if it cannot be read."""
    task, build = _built(context, request.task)
    files, note = await asyncio.to_thread(_compare, context, task.slug, build)
    return p.Difference(id=request.id, task=task.slug, build=build.hash, files=files, note=note)


def _built(context: Context, wanted: str) -> tuple[Task, Build]:
    task = context.state.find(wanted)
    build = context.state.build(task.slug)
    if build is None:
        raise NotBuilt.named(task.name, task.slug)
    return task, build


def _compare(context: Context, slug: str, build: Build) -> tuple[tuple[FileDifference, ...], str]:
    made = context.paths.builds / build.hash / "src"
    if not made.is_dir():
        raise BuildFailed(f"the build {build.hash} no longer exists", hint=f"keiji task build {slug}")
    folder = context.paths.source(slug)
    return difference(made, build.files, folder, builds.hash_sources(folder))
