"""plan-apply, apply: build everything under ``tasks/`` that is new or changed."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from pathlib import Path

import msgspec

from keiji import names
from keiji.errors import BuildPinned, KeijiError, UsageError, WorkspaceMissing
from keiji.records import Build, Task
from keiji.workspace import find_task_folders
from keiji_engine import builds
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import ApplyOutcome, FolderState, FolderView
from keiji_engine.handlers.build import build_source, update_defaults
from keiji_engine.handlers.collect import collect_builds
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.delete import delete

MAX_PARALLEL_BUILDS = max(2, os.cpu_count() or 1)

_log = logging.getLogger("keiji.bus")


async def plan_apply(context: Context, request: p.PlanApply) -> p.ApplyPlan:
    """Compare every folder under ``tasks/`` with its active build. Raises WorkspaceMissing."""
    return p.ApplyPlan(id=request.id, folders=await _plan(context))


async def apply(context: Context, request: p.Apply) -> p.Done:
    """Build every task that is new or changed. A task that cannot be built does not affect the others.

    Raises:
        WorkspaceMissing: there is no workspace.
        UsageError: all tasks would be deleted, as if the folder of tasks were not mounted.
        InvalidSettings: keiji.toml is invalid; nothing is built.
    """
    plan = await _plan(context)
    if request.prune and all(view.state is FolderState.MISSING for view in plan):
        hint = f"check that {context.paths.tasks} is complete; keiji task delete deletes a task"
        raise UsageError("no task was deleted: none of them has a folder", hint=hint)
    await update_defaults(context)
    slots = asyncio.Semaphore(MAX_PARALLEL_BUILDS)

    async def limited(view: FolderView) -> ApplyOutcome:
        async with slots:
            return await _apply(context, request, view)

    outcomes = await asyncio.gather(*(limited(view) for view in plan if view.state is not FolderState.MISSING))
    missing = {view.folder for view in plan if view.state is FolderState.MISSING}
    pruned = [await _prune(context, request, slug) for slug in request.prune if slug in missing]
    await collect_builds(context)
    done = tuple(sorted((*outcomes, *pruned), key=lambda outcome: names.natural_sort_key(outcome.task)))
    return p.Done(id=request.id, lines=_summary(done), outcomes=done)


def _summary(outcomes: tuple[ApplyOutcome, ...]) -> tuple[str, ...]:
    counts = Counter(outcome.outcome for outcome in outcomes)
    counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    failures = (f"{each.task}: {each.error.splitlines()[0]}" for each in outcomes if each.error)
    return (counted or "there are no tasks", *failures)


async def _apply(context: Context, request: p.Apply, view: FolderView) -> ApplyOutcome:
    """Do what a folder needs, and return the outcome, whatever it is."""
    if view.state is FolderState.INVALID:
        return ApplyOutcome(task=view.folder, outcome="failed", error=view.error)
    if view.state in {FolderState.UNCHANGED, FolderState.PINNED}:
        task = context.state.task(view.folder)
        return ApplyOutcome(task=view.folder, outcome=str(view.state), build=(task.build if task else None) or "")
    try:
        build, _ = await build_source(context, request, context.paths.source(view.folder))
    except BuildPinned as error:
        return ApplyOutcome(task=view.folder, outcome="pinned", build=str(error.params["build"]))
    except KeijiError as error:
        return ApplyOutcome(task=view.folder, outcome="failed", error=str(error))
    except Exception as error:  # noqa: BLE001 - logged, and reported to the client; the other tasks are unaffected
        _log.exception("apply: %s failed", view.folder)
        return ApplyOutcome(task=view.folder, outcome="failed", error=f"internal error: {error!r}")
    outcome = "created" if view.state is FolderState.NEW else "built"
    return ApplyOutcome(task=view.folder, outcome=outcome, build=build.hash)


async def _prune(context: Context, request: p.Apply, slug: str) -> ApplyOutcome:
    try:
        await delete(context, p.Delete(task=slug, sender=request.sender))
    except KeijiError as error:
        return ApplyOutcome(task=slug, outcome="failed", error=str(error))
    return ApplyOutcome(task=slug, outcome="pruned")


async def _plan(context: Context) -> tuple[FolderView, ...]:
    tasks = {task.slug: (task, context.state.build(task.slug)) for task in context.state.tasks()}
    return await asyncio.to_thread(_compare_all, context.paths.tasks, context.paths.builds, tasks)


def _compare_all(
    folder: Path, build_folder: Path, tasks: dict[str, tuple[Task, Build | None]]
) -> tuple[FolderView, ...]:
    try:
        folders = find_task_folders(folder)
    except OSError as error:
        hint = "put it back, or keiji init creates a workspace"
        raise WorkspaceMissing(f"{folder} cannot be read: {error.strerror}", hint=hint) from error
    views = [_compare(folder / name, build_folder, *tasks.get(name, (None, None))) for name in folders]
    is_there = {slug: (folder / slug).is_dir() for slug in tasks.keys() - set(folders)}
    views += [
        # A folder without function.py and task.toml is that of a broken task, not of a deleted one.
        _compare(folder / slug, build_folder, *tasks[slug])
        if exists
        else FolderView(folder=slug, state=FolderState.MISSING)
        for slug, exists in is_there.items()
    ]
    return tuple(sorted(_without_shared_names(folder, views, tasks), key=lambda view: view.folder))


def _compare(source: Path, build_folder: Path, task: Task | None, build: Build | None) -> FolderView:
    slug = names.slug_of(source.name)
    if slug != source.name:
        hint = f"rename the folder to {slug}" if slug else "rename the folder"
        error = f"the folder {source.name!r} has no valid name for a task: {hint}"
        return FolderView(folder=source.name, state=FolderState.INVALID, error=error)
    if task is None or task.build is None:
        return FolderView(folder=slug, state=FolderState.NEW)
    try:
        files = builds.changed_paths(build.files if build is not None else {}, builds.hash_sources(source))
        details = builds.read_details(source)
        has_details = (details.name or slug, details.description) == (task.name, task.description)
    except KeijiError as error:
        return FolderView(folder=slug, state=FolderState.CHANGED, error=error.message)
    if not files and not has_details:
        files = (details.file,)
    if not files and (build_folder / task.build).is_dir():
        return FolderView(folder=slug, state=FolderState.UNCHANGED)
    is_pinned = build is not None and build.is_pinned
    return FolderView(folder=slug, state=FolderState.PINNED if is_pinned else FolderState.CHANGED, files=files)


def _without_shared_names(
    folder: Path, views: list[FolderView], tasks: dict[str, tuple[Task, Build | None]]
) -> list[FolderView]:
    """Replace the views of new folders whose name is that of another task; otherwise the order would decide."""
    owners = {task.name: slug for slug, (task, _) in tasks.items()}
    checked = []
    for view in views:
        if view.state is FolderState.NEW:
            try:
                name = builds.read_details(folder / view.folder).name or view.folder
            except KeijiError:
                name = view.folder  # the build reports the error
            owner = owners.setdefault(name, view.folder)
            if owner != view.folder:
                error = f"the name {name!r} is that of the task in tasks/{owner}: choose another name"
                checked.append(msgspec.structs.replace(view, state=FolderState.INVALID, error=error))
                continue
        checked.append(view)
    return checked
