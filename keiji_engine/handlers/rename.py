"""rename: give a task another name. Its history, logs and builds stay."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from keiji import names
from keiji.errors import AlreadyRunning, BuildFailed, KeijiError, StorageError, TaskExists
from keiji.paths import Paths
from keiji.records import Build, Run, Task
from keiji_engine import builds, task_files
from keiji_engine.bus.protocol import Done, RenameTask
from keiji_engine.handlers.context import Context
from keiji_engine.logs.service_log import log_task
from keiji_engine.storage.transactions import Query, Transaction
from keiji_engine.task_files import Rename

RETRY_INTERVAL = 1.0  # seconds between attempts to find out what the database has
_FLUSH_LIMIT = 1.0  # seconds for lines that were logged under the old name

_log = logging.getLogger("keiji.scheduler")

Read = Callable[[Query[str | None]], Awaitable[str | None]]


async def rename(context: Context, request: RenameTask) -> Done:
    """Rename a task. Raises InvalidName, TaskNotFound, TaskExists, AlreadyRunning."""
    old_slug = context.state.find(request.task).slug
    name = names.validate(request.new_name)
    slug = names.slug_of(name)
    async with contextlib.AsyncExitStack() as stack:
        for each in sorted({old_slug, slug}):
            await stack.enter_async_context(context.build_lock(each))
        for each in sorted({old_slug, slug}):
            await stack.enter_async_context(context.lock(each))
        # One journal, so one rename at a time.
        await stack.enter_async_context(context.lock("rename/"))
        task = context.state.find(old_slug)
        if (task.name, task.slug) == (name, slug):
            return Done(id=request.id, lines=(f"task {task.name} has that name already",))
        change = Rename(task.task_id, task.name, task.slug, name, slug)
        await _check(context, task, change)
        if context.flush_logs is not None:
            await asyncio.to_thread(context.flush_logs, _FLUSH_LIMIT)
        await _apply(context, change, await asyncio.to_thread(_current_build, context, task))
    log_task(slug, f"task {change.old_name} renamed to {name}")
    if context.control is not None:
        context.control.recheck_sources(slug)
    lines = [f"renamed task {change.old_name} to {name}", f"sourcePath: {context.paths.source(slug)}"]
    return Done(id=request.id, lines=tuple(lines))


async def _check(context: Context, task: Task, change: Rename) -> None:
    names.ensure_unique(change.new_name, change.new_slug, context.state.names(but=task.slug))
    _check_idle(context.state.open_runs(task.slug), task)
    blocking = await asyncio.to_thread(task_files.obstacle, context.paths, change)
    if blocking is not None:
        raise TaskExists(f"{blocking} already exists", hint="move it away, or choose another name")
    # A name that cannot be written into the sources would come back with the next build.
    await asyncio.to_thread(task_files.check_name, context.paths, change)


def _current_build(context: Context, task: Task) -> Build | None:
    """Return the active build of a task if its task.toml is that of the sources."""
    build = context.state.build(task.slug)
    if build is None or task_files.CONFIGURATION not in build.files:
        return None
    with contextlib.suppress(BuildFailed):
        sources = builds.hash_sources(context.paths.source(task.slug))
        if sources.get(task_files.CONFIGURATION) == build.files[task_files.CONFIGURATION]:
            return build
    return None


async def _apply(context: Context, change: Rename, build: Build | None) -> None:
    """Rename in the database and on the disk: both, or neither.

    Args:
        build: a build that has the same task.toml as the sources, which the new name does not change; None if there is
            none.
    """
    paths = context.paths
    try:
        await asyncio.to_thread(task_files.begin, paths, change)
        await context.state.apply(partial(_rename, change=change, paths=paths, build=build))
        await asyncio.to_thread(task_files.end, paths)
    except (KeijiError, OSError) as error:
        while True:
            try:
                is_renamed = await recover(paths, context.state.read)
                break
            except (StorageError, OSError) as later:
                _log.error("the rename of %s cannot be completed or undone yet: %s", change.old_name, later)
                await asyncio.sleep(RETRY_INTERVAL)
        if is_renamed:
            return
        if isinstance(error, KeijiError):
            raise
        raise KeijiError(
            f"{change.old_name} keeps its name: {error.strerror or error}: {error.filename or paths.data}",
            hint="free space on the disk, or make the folder writable, and repeat the command",
        ) from error


def _rename(transaction: Transaction, *, change: Rename, paths: Paths, build: Build | None) -> None:
    """Rename a task in the database, and its files before that is committed.

    Nothing else can change the task in between, so that no run starts with a part of its files. The moves have no
    effect if they are repeated; if nothing is committed, they are undone.
    """
    task = transaction.tasks.lock([change.old_slug]).get(change.old_slug) or transaction.tasks.get(change.old_slug)
    _check_idle(transaction.runs.open([task.slug]), task)
    transaction.tasks.rename(task.slug, change.new_name, change.new_slug)
    for backfill in transaction.backfills.running():
        if backfill.task == change.new_slug:
            transaction.changes.backfills[backfill.id] = backfill
    task_files.move(paths, change)
    if build is not None:
        # A different name in task.toml does not require a build.
        digest = task_files.configuration_digest(paths, change.new_slug)
        files = build.files | ({task_files.CONFIGURATION: digest} if digest is not None else {})
        transaction.tasks.set_build_files(change.new_slug, replace(build, files=files))


def _check_idle(runs: Sequence[Run], task: Task) -> None:
    if runs:
        state = "is running" if runs[0].is_live else "has a queued run"
        raise AlreadyRunning(
            f"{task.name} {state} (run {runs[0].run_id}), so it cannot be renamed now",
            hint=f"wait until it has ended, or keiji task stop {task.slug}",
            params={"task": task.slug, "run": runs[0].run_id},
        )


async def recover(paths: Paths, read: Read) -> bool:
    """Complete or undo a rename that was interrupted: the files follow the database. Return whether it is completed.

    Raises:
        StorageError: the database cannot be read.
        OSError: the files cannot be moved.
    """
    change = await asyncio.to_thread(task_files.pending, paths)
    if change is None:
        return False
    is_renamed = await read(partial(_name_of, task_id=change.task_id)) == change.new_name
    await asyncio.to_thread(task_files.move if is_renamed else task_files.move_back, paths, change)
    await asyncio.to_thread(task_files.end, paths)
    return is_renamed


def _name_of(transaction: Transaction, *, task_id: str) -> str | None:
    return next((task.name for task in transaction.tasks.all() if task.task_id == task_id), None)
