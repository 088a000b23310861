"""get-build, get-difference: the active build of a task, and how its sources differ from it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from keiji.errors import BuildFailed, NotBuilt
from keiji.records import Build, FileDifference, Task
from keiji_engine import builds
from keiji_engine.builds.difference import difference
from keiji_engine.bus import protocol as p
from keiji_engine.handlers.builds import find_build
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
    """Compare a build with the sources, or two builds.

    Raises TaskNotFound, NotBuilt, BuildNotFound; BuildFailed if files cannot be read.
    """
    task, active = _built(context, request.task)
    known = await context.state.read(lambda transaction: transaction.tasks.recorded_builds(task.slug))
    before = find_build(task, known, request.before) if request.before else active.hash
    after = find_build(task, known, request.after) if request.after else ""
    files, note = await asyncio.to_thread(_compare, context, active, task.slug, before, after)
    return p.Difference(id=request.id, task=task.slug, build=before, after=after, files=files, note=note)


def _built(context: Context, wanted: str) -> tuple[Task, Build]:
    task = context.state.find(wanted)
    build = context.state.build(task.slug)
    if build is None:
        raise NotBuilt.named(task.name, task.slug)
    return task, build


def _compare(
    context: Context, active: Build, slug: str, before: str, after: str
) -> tuple[tuple[FileDifference, ...], str]:
    old, old_files = _sources_of(context, active, slug, before)
    if after:
        new, new_files = _sources_of(context, active, slug, after)
    else:
        new = context.paths.source(slug)
        new_files = builds.hash_sources(new)
    return difference(old, old_files, new, new_files)


def _sources_of(context: Context, active: Build, slug: str, build: str) -> tuple[Path, dict[str, str]]:
    """Return the sources of a build, and their hashes. Raises BuildFailed if it no longer exists."""
    folder = context.paths.builds / build / "src"
    if not folder.is_dir():
        raise BuildFailed(f"the build {build} no longer exists", hint=f"keiji task builds {slug} lists those that do")
    # A rename changes the sources, and the recorded hashes with them, so that they do not differ from the build.
    return folder, active.files if build == active.hash else builds.hash_sources(folder)
