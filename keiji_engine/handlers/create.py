"""create: a new task, from the template or with a command."""

from __future__ import annotations

import asyncio

from keiji import names
from keiji.errors import TaskExists, UsageError, WorkspaceMissing
from keiji.policy_text import parse_policy
from keiji.schedule.parse import parse_schedule
from keiji_engine import builds
from keiji_engine.bus.protocol import Create, Done
from keiji_engine.handlers.context import Context


async def create(context: Context, request: Create) -> Done:
    """Write the sources of a task and record it.

    Raises InvalidName, InvalidSchedule, InvalidPolicy, TaskExists, WorkspaceMissing, and UsageError for options that do
    not fit.
    """
    name = names.validate(request.name)
    slug = names.slug_of(name)
    description = names.one_line(request.description)
    _check_command(request)
    is_command = bool(request.command or request.shell)
    schedule = request.schedule.strip()
    if schedule:
        parsed = parse_schedule(schedule)
        schedule = schedule if is_command else parsed.source_form()
    policy = parse_policy(request.policy)
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
            builds.create_task_folder,
            source,
            name,
            description,
            schedule=schedule,
            tags=tuple(dict.fromkeys(filter(None, map(names.one_line, request.tags)))),
            command=request.command,
            shell=request.shell,
            cwd=request.cwd,
            policy=policy,
            force=request.force,
        )
        if known is None:
            now = context.clock()
            await context.state.apply(lambda transaction: transaction.tasks.create(name, slug, description, now))
        else:
            await context.state.apply(
                lambda transaction: transaction.tasks.update_details(slug, name=name, description=description)
            )
    lines = [f"creating task {name}", f"sourcePath: {source}"]
    program = request.command[0] if request.command else ""
    if program.startswith("./") and not await asyncio.to_thread((source / program).exists):
        lines.append(f"put {program[2:]} into that folder before you build the task")
    if script := next((word for word in request.command[1:] if word.startswith("./") and not request.cwd), ""):
        lines.append(f"{script} is looked up in the working folder of the run, not in that folder")
        lines.append(f"to run {script} from that folder, name it first: keiji task create {slug} --force -- {script}")
    if is_command and not schedule:
        lines.append("it runs only when you start it, unless you set a schedule in task.toml")
    return Done(id=request.id, lines=(*lines, "ok"))


def _check_command(request: Create) -> None:
    """Check that the options fit together. Raises UsageError."""
    is_command = bool(request.command or request.shell)
    if request.command and request.shell:
        raise UsageError("a task has either a command or a shell line, not both")
    if request.command and not request.command[0].strip():
        raise UsageError("the command is empty", hint="for example: keiji task create backup -- ./backup.sh --full")
    if request.cwd and not is_command:
        raise UsageError("a working folder was given without a command", hint="put the command after --")
    if request.cwd and not request.cwd.startswith(("/", "~")):
        raise UsageError(f"the working folder {request.cwd!r} is not an absolute path")
    if any("\0" in word for word in (*request.command, request.shell, request.cwd)):
        raise UsageError("the command contains a null character")
