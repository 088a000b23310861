"""``keiji task``: create, build, inspect and control tasks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

from keiji import engine_process
from keiji.errors import InvalidName, KeijiError, UsageError
from keiji.formats import parse_duration, zone_of
from keiji.names import slug_of
from keiji.reasons import remedy, render
from keiji_cli import client, json_output, logs, output
from keiji_cli.arguments import parse_assignments, require_utf8
from keiji_cli.backfill import backfill
from keiji_cli.builds import builds, diff, pin, rollback, unpin
from keiji_cli.groups import OptionSpellingGroup, RestCommand
from keiji_cli.table import UNLIMITED, Width, output_width
from keiji_cli.when import parse_time

_NO_TASKS = "there are no tasks yet\nkeiji task create ping_google --desc='pings google' creates one"
_C = TypeVar("_C", bound=Callable[..., Any])


def _validate_name(context: click.Context, _: click.Parameter, name: str | None) -> str | None:
    """Reject a name that no task can have. The engine checks whether the task exists."""
    if name is None:
        return None
    if not name.strip():
        is_new = context.command is create
        hint = "for example keiji task create ping_google" if is_new else "keiji task list shows all tasks"
        raise InvalidName("the name of the task is empty", hint=hint)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidName(f"invalid task name {name!r}: it is not valid UTF-8") from error
    return name


def task_argument(command: _C) -> _C:
    """Add the name of the task as an argument."""
    return click.argument("name", callback=_validate_name)(command)


def _wide_option(command: _C) -> _C:
    return click.option("--wide", is_flag=True, help="Show all columns, even if they exceed the terminal.")(command)


def _width(wide: bool) -> Width:
    return UNLIMITED if wide else output_width()


@click.group(cls=OptionSpellingGroup)
def task() -> None:
    """Create, build, inspect and control tasks."""


@task.command(cls=RestCommand, rest_metavar="COMMAND [ARGS]…")
@task_argument
@click.option("--desc", "--description", default="", help="Description of the task.")
@click.option("--schedule", default="", help="For example 'every(5).minutes', 'Fridays at 22:00' or '*/5 * * * *'.")
@click.option("--shell", metavar="LINE", help="Run this line in a shell, instead of a command after --.")
@click.option("--cwd", default="", metavar="FOLDER", help="Working folder of the command.")
@click.option("--policy", default="", help="For example 'timeout = 30m, retry.tries = 3, overlap = queue'.")
@click.option("--tag", "tags", multiple=True, help="A tag of the task; repeat the option for several.")
@click.option("--force", is_flag=True, help="Replace existing sources.")
def create(
    name: str,
    *,
    desc: str,
    schedule: str,
    shell: str | None,
    cwd: str,
    policy: str,
    tags: tuple[str, ...],
    force: bool,
    rest: tuple[str, ...] | None,
) -> None:
    """Create a task: from the template, or with the command after --.

    The words after -- are executed as they are, without a shell.
    """
    from keiji_engine.bus.protocol import Create

    if rest == ():
        raise UsageError("there is no command after --", hint=f"keiji task create {name} -- ./backup.sh --full")
    if shell is not None and not shell.strip():
        raise UsageError("the line after --shell is empty", hint="leave out --shell to create a Python task")
    request = Create(
        name=name,
        description=desc,
        schedule=schedule,
        force=force,
        command=require_utf8(rest or ()),
        shell=shell or "",
        cwd=str(Path(cwd).expanduser().absolute()) if cwd else "",
        tags=tags,
        policy=policy,
    )
    output.print_progress(*client.execute(client.require_workspace(), request))


@task.command()
@task_argument
@click.option("--restart", is_flag=True, help="Then stop live runs and restart the schedule from now.")
def build(name: str, *, restart: bool) -> None:
    """Build a task from its sources and activate the build.

    If the build fails, the previous build stays active.
    """
    from keiji_engine.bus.protocol import BuildTask

    output.print_progress(*client.execute(client.require_workspace(), BuildTask(task=name, restart=restart)))


@task.command()
@click.argument("name", required=False, callback=_validate_name)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of objects.")
def get(name: str | None, *, as_json: bool) -> None:
    """Show all details of a task, or of all tasks."""
    paths = client.require_workspace()
    zone = client.display_zone(paths)
    tasks, pause = client.get_tasks_and_pause(paths, name)
    if as_json:
        click.echo(json_output.format_tasks(tasks, zone))
    elif name is not None:
        own = zone_of(tasks[0].zone, zone)
        click.echo(f"{output.format_task_model(tasks[0], own)}\n\n{output.format_task_details(tasks[0], own)}")
        if pause is not None:
            click.echo(output.format_system_pause(pause, zone))
    elif tasks:
        for each in tasks:
            own = zone_of(each.zone, zone)
            click.echo(f"{output.SEPARATOR}\n{output.format_task_model(each, own)}\n")
        click.echo(output.SEPARATOR)
    else:
        click.echo(_NO_TASKS, err=True)


@task.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of objects, as get does.")
@_wide_option
def list_tasks(*, as_json: bool, wide: bool) -> None:
    """List all tasks, one per line."""
    paths = client.require_workspace()
    zone = client.display_zone(paths)
    tasks, pause = client.get_tasks_and_pause(paths)
    unregistered = client.find_unregistered(paths, tasks)
    if as_json:
        click.echo(json_output.format_tasks(tasks, zone))
    elif tasks:
        table = output.format_tasks_table(
            tasks,
            zone,
            datetime.now(UTC),
            is_online=engine_process.is_running(paths),
            is_paused=pause is not None,
            width=_width(wide)._replace(cuts=not wide and output_width().wraps),
        )
        click.echo(table)
        if pause is not None:
            click.echo(output.format_system_pause(pause, zone), err=True)
    elif not unregistered:
        click.echo(_NO_TASKS, err=True)
    if unregistered and not as_json:
        click.echo(output.format_unregistered(unregistered), err=True)


@task.command()
@task_argument
@click.option(
    "-n", "--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Maximum number of runs."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of objects.")
@_wide_option
def runs(name: str, limit: int, *, as_json: bool, wide: bool) -> None:
    """Show the history of a task, newest run first."""
    from keiji_engine.bus.protocol import GetRuns

    paths = client.require_workspace()
    zone = client.display_zone(paths)
    reply = client.ask(paths, GetRuns(task=name, limit=limit))
    if as_json:
        click.echo(json_output.format_runs(reply.runs, zone))
    elif reply.runs:
        click.echo(output.format_runs_table(reply.runs, zone_of(reply.zone, zone), _width(wide)))
    else:
        click.echo(f"{name} has not run yet\nkeiji task run {name} runs it now", err=True)


@task.command(name="next")
@task_argument
@click.option(
    "-n", "--count", default=10, show_default=True, type=click.IntRange(1, 1000), help="Number of occurrences."
)
@click.option("--from", "after", metavar="TIME", help='Start at this time, not now: "2027-03-28 01:00".')
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of objects.")
def show_next(name: str, count: int, after: str | None, *, as_json: bool) -> None:
    """Show when a task is due next.

    Notes show the effects of daylight saving time and of the policy of the task.
    """
    from keiji_engine.bus.explain import event_reason
    from keiji_engine.bus.protocol import GetUpcoming

    paths = client.require_workspace()
    start = parse_time(after, client.load_settings(paths).zone, "--from") if after is not None else None
    reply = client.ask(paths, GetUpcoming(task=name, count=count, after=start))
    zone = ZoneInfo(reply.zone)
    if as_json:
        click.echo(json_output.format_upcoming(reply.instants, zone))
        return
    for event in reply.events:
        click.echo(render(event_reason(event)))
    if not reply.instants:
        if not reply.events:
            click.echo(f"{reply.task} is never due {'after that time' if start else 'again'}", err=True)
        return
    click.echo(output.format_upcoming_table(reply.instants, zone, datetime.now(UTC), output_width()))
    if reply.blocked_reason is not None:
        click.echo(f"none of these will run as things stand: {render(reply.blocked_reason, zone)}", err=True)


@task.command()
@task_argument
def explain(name: str) -> None:
    """Explain why a task does not run now, and how to fix it."""
    from keiji_engine.bus.protocol import Explain

    paths = client.require_workspace()
    zone = client.display_zone(paths)
    reply = client.ask(paths, Explain(task=name))
    zone = zone_of(reply.zone, zone)
    for reason in reply.reasons:
        click.echo(render(reason, zone))
        if command := remedy(reason, reply.task):
            click.echo(f"    {command}")


@task.command(name="logs")
@task_argument
@logs.log_options
def show_logs(name: str, lines: int, editor: str | None, *, follow: bool) -> None:
    """Show the log of a task: output and results of its runs."""
    paths = client.require_workspace()
    path = paths.task_log(name) if name == slug_of(name) else None
    if path is None or not path.exists():
        # The name is not the slug, or the task has no log. If the task does not exist, this raises TaskNotFound.
        path = Path(client.get_tasks(paths, name)[0].log_path)
    logs.show_log(path, lines=lines, follow=follow, editor=editor)


@task.command()
@task_argument
def enable(name: str) -> None:
    """Enable a task: it runs on schedule again."""
    from keiji_engine.bus.protocol import Enable

    output.print_progress(*client.execute(client.require_workspace(), Enable(task=name)))


@task.command()
@task_argument
def disable(name: str) -> None:
    """Disable a task and stop its live runs."""
    from keiji_engine.bus.protocol import Disable

    output.print_progress(*client.execute(client.require_workspace(), Disable(task=name)))


@task.command()
@task_argument
@click.option("--reason", default="", help="Reason, shown to all users.")
def pause(name: str, reason: str) -> None:
    """Pause the schedule of a task (a live run is not affected)."""
    from keiji_engine.bus.protocol import PauseTask

    output.print_progress(*client.execute(client.require_workspace(), PauseTask(task=name, reason=reason)))


@task.command()
@task_argument
def resume(name: str) -> None:
    """Resume the schedule of a task. Runs missed during the pause are not caught up."""
    from keiji_engine.bus.protocol import ResumeTask

    output.print_progress(*client.execute(client.require_workspace(), ResumeTask(task=name)))


@task.command()
@task_argument
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete(name: str, *, yes: bool) -> None:
    """Delete a task with its history, logs and builds. Its sources are kept."""
    from keiji_engine.bus.protocol import Delete

    paths = client.require_workspace()
    if not yes:
        view = client.get_tasks(paths, name)[0]
        if not sys.stdin.isatty():
            raise UsageError(
                f"{view.name} was not deleted: this needs --yes when there is no terminal to confirm it on",
                hint=f"keiji task delete {view.slug} --yes deletes its history, logs and builds; its sources are kept",
            )
        click.echo(f"This deletes the history, logs and builds of {view.name}.", err=True)
        click.echo(f"Its sources are kept: {view.source_path}", err=True)
        if not click.confirm("Delete it?", default=False, err=True):
            raise KeijiError("nothing was deleted")
    output.print_progress(*client.execute(paths, Delete(task=name)))


@task.command()
@task_argument
@click.argument("new_name")
def rename(name: str, new_name: str) -> None:
    """Give a task another name. Its history, logs and builds are kept."""
    from keiji_engine.bus.protocol import RenameTask

    output.print_progress(*client.execute(client.require_workspace(), RenameTask(task=name, new_name=new_name)))


@task.command()
@task_argument
def resolve(name: str) -> None:
    """Clear the error of a task; a held task runs again."""
    from keiji_engine.bus.protocol import Resolve

    output.print_progress(*client.execute(client.require_workspace(), Resolve(task=name)))


@task.command()
@task_argument
def restart(name: str) -> None:
    """Stop the live runs of a task and restart its schedule from now."""
    from keiji_engine.bus.protocol import Restart

    output.print_progress(*client.execute(client.require_workspace(), Restart(task=name)))


@task.command(cls=RestCommand, rest_metavar="NAME=VALUE…")
@task_argument
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="Set an environment variable for this run only.")
@click.option("--timeout", metavar="DURATION", help="Time limit of this run only, such as 5m.")
@click.option("--due", metavar="TIME", help='The scheduled time that the run covers: "2026-11-01 03:00".')
def run(name: str, *, env: tuple[str, ...], timeout: str | None, due: str | None, rest: tuple[str, ...] | None) -> None:
    """Run a task now, regardless of its schedule.

    The parameters of the task come after --, for example: keiji task run report -- day=2026-11-01
    """
    from keiji_engine.bus.protocol import RunTask

    paths = client.require_workspace()
    request = RunTask(
        task=name,
        params=parse_assignments(rest or (), "a parameter", f"keiji task run {slug_of(name)} -- day=2026-11-01"),
        env=parse_assignments(env, "an environment variable", "--env LEVEL=debug"),
        timeout=_parse_timeout(timeout) if timeout is not None else None,
        due=parse_time(due, client.load_settings(paths).zone, "--due") if due is not None else None,
    )
    output.print_progress(*client.execute(paths, request))


def _parse_timeout(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--timeout {text}: {error}") from error


@task.command()
@task_argument
@click.argument("run_id")
def rerun(name: str, run_id: str) -> None:
    """Repeat a run with its parameters and its due time. `keiji task runs NAME --wide` shows the ids of runs."""
    from keiji_engine.bus.protocol import RerunTask

    output.print_progress(*client.execute(client.require_workspace(), RerunTask(task=name, run=run_id)))


for command in (backfill, builds, diff, rollback, pin, unpin):
    task.add_command(command)


@task.command()
@task_argument
def stop(name: str) -> None:
    """Stop the live runs of a task and cancel a pending retry."""
    from keiji_engine.bus.protocol import StopRun

    output.print_progress(*client.execute(client.require_workspace(), StopRun(task=name)))
