"""``keiji task``: create, build, see and steer tasks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from keiji.errors import InvalidName, KeijiError
from keiji.names import slug_of
from keiji.reasons import remedy, render
from keiji_cli import as_json, client, logs, output
from keiji_cli.groups import Kind

_NONE_YET = "there are no tasks yet\nkeiji task create ping_google --desc='pings google' makes one"
_C = TypeVar("_C", bound=Callable[..., Any])


def _usable(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """Refuse what cannot name a task; whether there is one, and which is meant, is for the engine to say."""
    if name is None:
        return None
    if not name.strip():
        raise InvalidName("a task needs a name, and this one is empty", hint="keiji task list shows all tasks")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidName(f"{name!r} is not UTF-8 text, so that it cannot be the name of a task") from error
    return name


def about_a_task(command: _C) -> _C:
    """Give a command the name of the task that it is about."""
    return click.argument("name", callback=_usable)(command)


@click.group(cls=Kind)
def task() -> None:
    """Create, build, see and steer tasks."""


@task.command()
@about_a_task
@click.option("--desc", default="", help="What the task is for.")
@click.option("--schedule", default="", help="When it runs: 'every(5).minutes', 'Fridays at 22:00' or '*/5 * * * *'.")
@click.option("--force", is_flag=True, help="Start again from the template, replacing the sources that are there.")
def create(name: str, desc: str, schedule: str, *, force: bool) -> None:
    """Make a new task from the template, in a folder of its own."""
    from keiji_engine.bus.protocol import Create

    request = Create(name=name, description=desc, schedule=schedule, force=force)
    output.progress(*client.carry_out(client.workspace(), request))


@task.command()
@about_a_task
@click.option("--restart", is_flag=True, help="Then stop what runs, and count the schedule anew from now.")
def build(name: str, *, restart: bool) -> None:
    """Build a task from its sources, and switch to the build.

    When that fails, nothing changes: the build before it goes on.
    """
    from keiji_engine.bus.protocol import BuildTask

    output.progress(*client.carry_out(client.workspace(), BuildTask(task=name, restart=restart)))


@task.command()
@click.argument("name", required=False, callback=_usable)
@click.option("--json", "for_programs", is_flag=True, help="Print a list of objects.")
def get(name: str | None, *, for_programs: bool) -> None:
    """Show everything about one task, or about all of them."""
    paths = client.workspace()
    zone = client.settings(paths).zone
    found, pause = client.tasks_and_pause(paths, name)
    if for_programs:
        click.echo(as_json.tasks(found, zone))
    elif name is not None:
        click.echo(f"{output.task_block(found[0], zone)}\n\n{output.task_notes(found[0], zone)}")
        if pause is not None:
            click.echo(output.whole_pause(pause, zone))
    elif found:
        for each in found:
            click.echo(f"{output.BAR}\n{output.task_block(each, zone)}\n")
        click.echo(output.BAR)
    else:
        click.echo(_NONE_YET)


@task.command(name="list")
@click.option("--json", "for_programs", is_flag=True, help="Print a list of objects, as get does.")
def list_tasks(*, for_programs: bool) -> None:
    """Show all tasks, a line each."""
    paths = client.workspace()
    zone = client.settings(paths).zone
    found, pause = client.tasks_and_pause(paths)
    if for_programs:
        click.echo(as_json.tasks(found, zone))
    elif found:
        click.echo(output.tasks_table(found, zone))
        if pause is not None:
            click.echo(output.whole_pause(pause, zone))
    else:
        click.echo(_NONE_YET)


@task.command()
@about_a_task
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many to show.")
@click.option("--json", "for_programs", is_flag=True, help="Print a list of objects.")
def runs(name: str, limit: int, *, for_programs: bool) -> None:
    """Show the runs of a task, newest first."""
    from keiji_engine.bus.protocol import GetRuns

    paths = client.workspace()
    zone = client.settings(paths).zone
    reply = client.ask(paths, GetRuns(task=name, limit=limit))
    if for_programs:
        click.echo(as_json.runs(reply.runs, zone))
    elif reply.runs:
        click.echo(output.runs_table(reply.runs, zone))
    else:
        click.echo(f"{name} has not run yet\nkeiji task run {name} runs it now")


@task.command(name="next")
@about_a_task
@click.option("--count", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many to show.")
@click.option("--from", "after", metavar="TIME", help='Begin there instead of now: "2027-03-28", "2027-03-28 01:00".')
@click.option("--json", "for_programs", is_flag=True, help="Print a list of objects.")
def show_next(name: str, count: int, after: str | None, *, for_programs: bool) -> None:
    """Show when a task is due next, and what daylight saving or its policy does to that."""
    from keiji_cli import upcoming

    paths = client.workspace()
    click.echo(upcoming.shown(paths, name, count, after, for_programs=for_programs))


@task.command()
@about_a_task
def explain(name: str) -> None:
    """Say why a task does not run now, and what to do about it."""
    paths = client.workspace()
    zone = client.settings(paths).zone
    slug, reasons = client.explained(paths, name)
    for reason in reasons:
        click.echo(render(reason, zone))
        if command := remedy(reason, slug):
            click.echo(f"    {command}")


@task.command(name="logs")
@about_a_task
@logs.log_options
def show_logs(name: str, lines: int, editor: str | None, *, follow: bool) -> None:
    """Show what the runs of a task printed, and what became of them."""
    paths = client.workspace()
    path = paths.task_log(name) if name == slug_of(name) else None
    if path is None or not path.exists():
        # Not every name is that of its folder; and where there is no such task, this says so.
        path = Path(client.tasks(paths, name)[0].log_path)
    logs.show(path, lines=lines, follow=follow, editor=editor)


@task.command()
@about_a_task
def enable(name: str) -> None:
    """Let a task run by its schedule again."""
    from keiji_engine.bus.protocol import Enable

    output.progress(*client.carry_out(client.workspace(), Enable(task=name)))


@task.command()
@about_a_task
def disable(name: str) -> None:
    """Stop a task, and let it rest until it is enabled."""
    from keiji_engine.bus.protocol import Disable

    output.progress(*client.carry_out(client.workspace(), Disable(task=name)))


@task.command()
@about_a_task
@click.option("--reason", default="", help="Why; everybody is shown it.")
def pause(name: str, reason: str) -> None:
    """Start nothing that is due of a task until it is resumed; what runs goes on."""
    from keiji_engine.bus.protocol import PauseTask

    output.progress(*client.carry_out(client.workspace(), PauseTask(task=name, reason=reason)))


@task.command()
@about_a_task
def resume(name: str) -> None:
    """Let a paused task go on. What was due meanwhile is not caught up with."""
    from keiji_engine.bus.protocol import ResumeTask

    output.progress(*client.carry_out(client.workspace(), ResumeTask(task=name)))


@task.command()
@about_a_task
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(name: str, *, yes: bool) -> None:
    """Forget a task: its history, its logs, its builds. The sources stay."""
    from keiji_engine.bus.protocol import Delete

    paths = client.workspace()
    if sys.stdin.isatty() and not yes:
        found = client.tasks(paths, name)[0]
        click.echo(f"This deletes the history, the logs and the builds of {found.name}.")
        click.echo(f"Its sources stay: {found.source_path}")
        if not click.confirm("Delete it?", default=False):
            raise KeijiError("nothing was deleted")
    output.progress(*client.carry_out(paths, Delete(task=name)))


@task.command()
@about_a_task
def resolve(name: str) -> None:
    """Clear a task's error, once its cause is gone; one that was held runs again."""
    from keiji_engine.bus.protocol import Resolve

    output.progress(*client.carry_out(client.workspace(), Resolve(task=name)))


@task.command()
@about_a_task
def restart(name: str) -> None:
    """Stop what runs of a task, and count its schedule anew from now."""
    from keiji_engine.bus.protocol import Restart

    output.progress(*client.carry_out(client.workspace(), Restart(task=name)))


@task.command()
@about_a_task
def run(name: str) -> None:
    """Run a task now, whatever its schedule says."""
    from keiji_engine.bus.protocol import RunTask

    output.progress(*client.carry_out(client.workspace(), RunTask(task=name)))


@task.command()
@about_a_task
def stop(name: str) -> None:
    """Stop the live run of a task, and cancel a pending retry."""
    from keiji_engine.bus.protocol import StopRun

    output.progress(*client.carry_out(client.workspace(), StopRun(task=name)))
