"""build: from the sources of a task to its active build."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path

from keiji import names
from keiji.errors import BuildFailed, BuildPinned, TaskNotFound
from keiji.formats import format_moment
from keiji.policy import Policy
from keiji.reasons import Code, reason, render
from keiji.records import Build, Task
from keiji.schedule import Schedule
from keiji.states import RunState
from keiji_engine import builds
from keiji_engine.builds.workspace_file import read_defaults
from keiji_engine.bus.explain import event_reason
from keiji_engine.bus.protocol import BuildTask, Directive, Done
from keiji_engine.event_runs import begin, current_files
from keiji_engine.handlers.collect import collect_builds
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.restart import restart_schedule
from keiji_engine.own_loop import run_in_own_loop
from keiji_engine.scheduler.clock_changes import anchor_schedule, move_schedule
from keiji_engine.scheduler_service import close_overdue, log_schedule, move_to_zone
from keiji_engine.storage.transactions import Transaction


async def build(context: Context, request: BuildTask) -> Done:
    """Build a task and switch to the build; if that fails, the previous build stays active.

    Raises:
        BuildFailed: the sources cannot be built.
        BuildPinned: the active build is pinned.
        InvalidSettings: keiji.toml is invalid; nothing is built, and the former defaults stay in use.
    """
    source = await _source(context, request.task)
    await update_defaults(context)
    _, lines = await build_source(context, request, source, restart=request.restart)
    await collect_builds(context)
    return Done(id=request.id, lines=("task found , building...", *lines, describe_next(context, source.name)))


async def build_source(
    context: Context, request: Directive, source: Path, *, restart: bool = False
) -> tuple[Build, list[str]]:
    """Build the task in the folder ``source`` and switch to the build; return it, and the lines of the reply.

    Raises:
        BuildFailed: the sources cannot be built.
        BuildPinned: the active build is pinned.
    """
    async with context.build_lock(source.name):
        known = context.state.task(source.name)
        check_not_pinned(context, source.name)
        if known is not None and restart:
            context.check_stoppable(known)  # before anything changes
        async with builds.hold_builds(context.paths.builds):  # until the new build is in the database
            new_build = await _build(context, source, known)
            async with context.lock(source.name):
                current = context.state.task(source.name)
                if known is not None and (current is None or current.task_id != known.task_id):
                    raise TaskNotFound(f"the task {known.name!r} was deleted while it was built")
                check_not_pinned(context, source.name)  # it may have been pinned meanwhile
                task = await _record(context, source)
                return new_build, await switch_build(context, request, task, new_build, restart=restart)


def check_not_pinned(context: Context, slug: str) -> None:
    """Check that the active build of a task may be replaced. Raises BuildPinned."""
    active = context.state.build(slug)
    if active is not None and active.is_pinned:
        raise BuildPinned.named(slug, active.hash)


async def update_defaults(context: Context) -> None:
    """Read the defaults of the workspace; if they have changed, apply them to all tasks. Raises InvalidSettings."""
    async with context.lock(""):  # a build that has read an older version must not apply it last
        defaults = await asyncio.to_thread(read_defaults, context.paths.workspace)
        if defaults != context.state.defaults:
            context.state.set_defaults(defaults)
            await move_to_zone(context.state, context.settings(), context.clock())


async def _build(context: Context, source: Path, known: Task | None) -> Build:
    try:
        new_build, _ = await run_in_own_loop(
            partial(
                builds.build_task,
                source,
                context.paths.builds,
                python=sys.executable,
                now=context.clock(),
                zone=context.settings().time_zone,
                defaults=context.state.defaults.env,
            )
        )
    except BuildFailed as error:
        if known is None or known.build is None:
            raise
        note = f"the previous build ({known.build}) stays active"
        raise BuildFailed(error.message, hint="\n".join(filter(None, (error.hint, note)))) from error
    return new_build


async def switch_build(
    context: Context,
    request: Directive,
    task: Task,
    new_build: Build,
    *,
    restart: bool = False,
    is_rollback: bool = False,
) -> list[str]:
    """Make a build the active one, and return the lines of the reply. The caller holds the lock of the task."""
    now = context.clock()
    if task.schedule is None or not new_build.schedule.is_same_as(task.schedule):
        overdue = reason(Code.TASK_CHANGED, change="schedule")
        task = await close_overdue(context.state, task, RunState.MISSED, overdue, now)
    policy = new_build.policy.with_defaults(context.state.defaults.policy)
    schedule, next_at = _reschedule(context, task, new_build, policy, now)
    slug, former = task.slug, None if task.is_disabled else task.schedule
    files = await asyncio.to_thread(current_files, schedule)

    def switch(transaction: Transaction) -> None:
        active = transaction.tasks.activate(
            slug,
            new_build,
            schedule,
            next_at,
            now=context.clock(),
            policy=policy,
            by=_requested_by(transaction, request),
            is_rollback=is_rollback,
        )
        begin(transaction, active, former, files)

    await context.state.apply(switch)
    task = context.state.find(slug)
    paths = context.paths
    link = paths.link(slug)
    try:
        await asyncio.to_thread(builds.activate, link, new_build, paths.builds, paths.workspace)
    except OSError as error:
        # The engine does not use the link.
        message = (
            f"the build {new_build.hash} is active, but the link to it cannot be written: {error.strerror}: {link}"
        )
        raise BuildFailed(message) from error
    lines = [
        f"scheduling function... {schedule.describe()}",
        f"sourcePath: {paths.source(slug)}",
        f"executable path {link}",
        f"executable created (build {new_build.hash})",
        "task saved",
    ]
    if restart:
        lines.append(f"restarting task {task.name}")
        await restart_schedule(context, task)
    else:
        log_schedule(task, context.settings())
    if context.control is not None:
        context.control.recheck_sources(task.slug)
    return lines


def _requested_by(transaction: Transaction, request: Directive) -> str:
    """Return the user who sent a directive, as the ledger has it, or else the client program."""
    entry = transaction.directives.get(request.id)
    if entry is None:
        return request.sender
    return f"{entry.user} (sudo by {entry.sudo_user})" if entry.sudo_user else entry.user or request.sender


def _reschedule(
    context: Context, task: Task, new_build: Build, policy: Policy, now: datetime
) -> tuple[Schedule, datetime | None]:
    """Return the schedule in its context, and its next instant. An unchanged schedule keeps counting as before.

    Otherwise a task that is built more often than it is due would never run.
    """
    zone = context.settings().time_zone
    if task.schedule is None or task.next_at is None or not new_build.schedule.is_same_as(task.schedule):
        return anchor_schedule(new_build.schedule, policy, zone, now)
    return move_schedule(task, policy, zone, now)


def describe_next(context: Context, slug: str) -> str:
    """Return when a task is due next, as a line of a reply."""
    task = context.state.task(slug)
    if task is None or task.schedule is None or task.is_disabled:
        return f"the task is disabled: keiji task enable {slug} enables it"
    zone = context.zone(task)
    upcoming = [
        f"{at.astimezone(zone):%a} {format_moment(at, zone)}"
        for at in islice(task.schedule.upcoming(context.clock()), 3)
    ]
    events = [render(event_reason(event.describe())) for event in task.schedule.events]
    if not events and not upcoming:
        return "the task is never due again"
    return "; ".join(filter(None, (f"next: {', '.join(upcoming)}" if upcoming else "", *events)))


async def _source(context: Context, wanted: str) -> Path:
    """Return the source folder that ``wanted`` names: that of a task, or one that was created by hand."""
    slug = names.slug_of(wanted)
    unregistered = context.paths.source(slug)
    if slug and context.state.task(slug) is None and await asyncio.to_thread(unregistered.is_dir):
        return unregistered
    source = context.paths.source(context.state.find(wanted).slug)
    if not await asyncio.to_thread(source.is_dir):
        raise BuildFailed(f"the sources of {wanted!r} are not at {source}", hint="put them back, or delete the task")
    return source


async def _record(context: Context, source: Path) -> Task:
    """Record the name and description of a folder; return its task. Raises InvalidName, InvalidTaskFile, TaskExists."""
    details = await asyncio.to_thread(builds.read_details, source)
    name, description = names.validate(details.name or source.name), details.description
    names.ensure_unique(name, source.name, context.state.names(but=source.name))
    known = context.state.task(source.name)
    if known is None:
        now = context.clock()
        await context.state.apply(lambda transaction: transaction.tasks.create(name, source.name, description, now))
    elif (known.name, known.description) != (name, description):
        await context.state.apply(
            lambda transaction: transaction.tasks.update_details(source.name, name=name, description=description)
        )
    return context.state.find(source.name)
