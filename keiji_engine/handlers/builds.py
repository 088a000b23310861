"""get-builds, rollback, pin, unpin: the builds of a task."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from keiji.errors import BuildFailed, BuildNotFound, NotBuilt, UsageError
from keiji.records import Build, RecordedBuild, Task, TaskKind
from keiji_engine import builds
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import BuildView
from keiji_engine.handlers.build import check_not_pinned, describe_next, switch_build
from keiji_engine.handlers.collect import collect_builds
from keiji_engine.handlers.context import Context


async def get_builds(context: Context, request: p.GetBuilds) -> p.Builds:
    """Return the builds of a task that exist on disk, or that it needs. Raises TaskNotFound."""
    task = context.state.find(request.task)
    known = await context.state.read(lambda transaction: transaction.tasks.recorded_builds(task.slug))
    runs = Counter(run.build for run in context.state.open_runs(task.slug) if run.is_live)
    sizes = await asyncio.to_thread(_sizes, context.paths.builds, [each.hash for each in known])
    views = (
        BuildView(
            hash=each.hash,
            created_at=each.created_at,
            activated_at=each.activated_at,
            activated_by=each.activated_by,
            is_active=each.hash == task.build,
            is_pinned=each.is_pinned,
            is_missing=each.hash not in sizes,
            runs=runs[each.hash],
            size=sizes.get(each.hash, 0),
            files=each.files,
        )
        for each in known
    )
    needed = tuple(view for view in views if not view.is_missing or view.is_active or view.is_pinned)
    return p.Builds(id=request.id, task=task.slug, builds=needed, zone=task.policy.tz or "")


def _sizes(folder: Path, hashes: Sequence[str]) -> dict[str, int]:
    """Return the size of each build that exists, in bytes."""
    return {build: _size(folder / build) for build in hashes if (folder / build).is_dir()}


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(parent, name).lstat().st_size
            except FileNotFoundError:
                continue  # it is being collected
    return total


def find_build(task: Task, known: Sequence[RecordedBuild], wanted: str) -> str:
    """Return the hash of the build of a task that ``wanted`` is the beginning of.

    Raises:
        BuildNotFound: there is no such build.
        UsageError: there are several.
    """
    found = [each.hash for each in known if each.hash.startswith(wanted.lower())]
    if not found:
        raise BuildNotFound.named(task.slug, wanted)
    if len(found) > 1:
        raise UsageError(f"{wanted!r} is the beginning of {len(found)} builds: {', '.join(sorted(found))}")
    return found[0]


async def roll_back(context: Context, request: p.RollBack) -> p.Done:
    """Verify an earlier build and switch to it; the sources stay as they are.

    Raises TaskNotFound, NotBuilt, BuildNotFound, BuildPinned; BuildFailed if the build is missing or was modified.
    """
    slug = context.state.find(request.task).slug
    async with context.build_lock(slug), builds.hold_builds(context.paths.builds), context.lock(slug):
        task = context.state.find(slug)
        if task.build is None:
            raise NotBuilt.named(task.name, task.slug)
        check_not_pinned(context, slug)
        known = await context.state.read(lambda transaction: transaction.tasks.recorded_builds(slug))
        if request.build:
            wanted = find_build(task, known, request.build)
        else:
            wanted = await asyncio.to_thread(_previous, context.paths.builds, task, known)
        if wanted == task.build:
            raise UsageError(f"{wanted} is the active build of {task.name}", hint=f"keiji task builds {slug}")
        earlier = await asyncio.to_thread(_verified, context.paths.builds / wanted, slug)
        lines = await switch_build(context, request, task, earlier, is_rollback=True)
    await collect_builds(context)
    difference = f"the sources are unchanged: keiji task diff {slug} shows how they differ"
    first = f"rolled back {task.name} from build {task.build} to {wanted}"
    return p.Done(id=request.id, lines=(first, *lines, difference, describe_next(context, slug)))


def _previous(folder: Path, task: Task, known: Sequence[RecordedBuild]) -> str:
    """Return the build that was active before the current one. Raises BuildNotFound."""
    found = next((each.hash for each in known if each.hash != task.build and (folder / each.hash).is_dir()), None)
    if found is None:
        raise BuildNotFound(f"{task.name} has no build other than the active one", params={"task": task.slug})
    return found


def _verified(folder: Path, slug: str) -> Build:
    """Load a build, and compare its files with its manifest. Raises BuildFailed if it cannot be used."""
    hint = f"keiji task builds {slug} lists the other builds; the active build is unaffected"
    if not folder.is_dir():
        raise BuildFailed(f"the build {folder.name} no longer exists", hint=hint)
    try:
        build = builds.load_build(folder)
    except BuildFailed as error:
        raise BuildFailed(error.message, hint=hint) from error
    if build.execution.kind is TaskKind.PYTHON and not os.access(build.command[0], os.X_OK):
        raise BuildFailed(f"the interpreter of the build {build.hash} is missing: {build.command[0]}", hint=hint)
    builds.mark_used(folder)
    return build


async def pin(context: Context, request: p.PinBuild) -> p.Done:
    """Pin a build. Raises TaskNotFound, NotBuilt, BuildNotFound; BuildFailed if its files are missing."""
    async with builds.hold_builds(context.paths.builds), context.locked_task(request.task) as task:
        wanted = await _find(context, task, request.build)
        if not await asyncio.to_thread((context.paths.builds / wanted).is_dir):
            raise BuildFailed(f"the build {wanted} no longer exists", hint=f"keiji task builds {task.slug}")
        await context.state.apply(lambda transaction: transaction.tasks.set_pinned(task.slug, wanted, is_pinned=True))
        line = f"pinned build {wanted} of {task.name}: it is kept"
        if wanted == task.build:
            line += f", and nothing replaces it until keiji task unpin {task.slug}"
        return p.Done(id=request.id, lines=(line,))


async def unpin(context: Context, request: p.UnpinBuild) -> p.Done:
    """Unpin a build. Raises TaskNotFound, NotBuilt, BuildNotFound."""
    async with context.locked_task(request.task) as task:
        wanted = await _find(context, task, request.build)
        await context.state.apply(lambda transaction: transaction.tasks.set_pinned(task.slug, wanted, is_pinned=False))
        return p.Done(id=request.id, lines=(f"unpinned build {wanted} of {task.name}",))


async def _find(context: Context, task: Task, wanted: str) -> str:
    if wanted:
        known = await context.state.read(lambda transaction: transaction.tasks.recorded_builds(task.slug))
        return find_build(task, known, wanted)
    if task.build is None:
        raise NotBuilt.named(task.name, task.slug)
    return task.build
