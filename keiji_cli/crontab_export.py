"""``keiji export crontab``: print the tasks as a crontab."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keiji.errors import KeijiError
from keiji_cli import client
from keiji_cli.groups import Command, OptionSpellingGroup

if TYPE_CHECKING:
    from keiji.crontab.export import ExportedTask
    from keiji.paths import Paths
    from keiji_engine.bus.views import TaskView

_SHELL_ARGUMENTS = 3  # program, -c, line


@click.group(name="export", cls=OptionSpellingGroup)
def export_tasks() -> None:
    """Print the tasks as a crontab."""


@export_tasks.command(cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME]…")
def crontab(names: tuple[str, ...]) -> None:
    """Print tasks as a crontab: all of them, or those called NAME.

    What cron cannot express is a comment. The lines are those of the active builds.
    """
    from keiji.crontab.export import format_crontab

    paths = client.require_workspace()
    views = [client.get_tasks(paths, name)[0] for name in names] if names else client.get_tasks(paths)
    exported, failed = [], []
    for view in views:
        if view.build is None:
            click.echo(f"{view.name} was left out: it has no build; keiji task build {view.slug} builds it", err=True)
            continue
        try:
            exported.append(_exported(paths, view))
        except KeijiError as error:
            failed.append(view.name)
            click.echo(f"{view.name} was left out: {error}", err=True)
    click.echo(format_crontab(exported, client.load_settings(paths).zone.key), nl=False)
    if failed:
        raise KeijiError(f"not exported: {', '.join(failed)}")


def _exported(paths: Paths, view: TaskView) -> ExportedTask:
    """Return what the crontab needs to know about a task. Raises KeijiError if its build cannot be read."""
    from keiji.crontab.export import ExportedTask
    from keiji.records import TaskKind
    from keiji_engine.builds import read_env
    from keiji_engine.builds.builder import read_manifest
    from keiji_engine.builds.command import SOURCES, all_values, insert_parameters

    folder = paths.builds / str(view.build)
    build = read_manifest(folder)
    execution = build.execution
    notes: list[str] = []
    shell, environment, cwd = "/bin/sh", dict(execution.env), execution.cwd
    if execution.kind is TaskKind.PYTHON:
        line, environment, cwd = f"{shlex.quote(view.executable)} --run", {}, str(paths.work / view.slug)
        notes.append("it needs the installation of keiji, but not its engine")
    else:
        cwd = cwd or str(paths.work / view.slug)
        values = all_values(execution.parameters, {})
        if execution.kind is TaskKind.COMMAND:
            program, *arguments = insert_parameters(build.command, execution.parameters, values)
            if program.startswith("./"):
                program = str(folder / SOURCES / program[2:])
            line = shlex.join((program, *arguments))
        elif len(build.command) == _SHELL_ARGUMENTS:
            shell, line = build.command[0], build.command[-1]
        else:
            line = shlex.join(build.command)
        if execution.kind is TaskKind.SHELL:
            environment |= {f"KEIJI_PARAM_{name.upper()}": value for name, value in values.items()}
        if execution.ok_exit_codes != (0,):
            notes.append(f"keiji also accepts the exit codes {', '.join(map(str, execution.ok_exit_codes))}")
        if read_env(paths.source(view.slug)):
            notes.append(f"the variables in {paths.source(view.slug)}/.env are missing")
    environment.setdefault("PATH", os.environ.get("PATH", os.defpath))
    if environment.get("SHELL") != shell:
        environment.pop("SHELL", None)
    inactive = "it is disabled" if view.is_disabled else "it is paused" if view.pause is not None else ""
    return ExportedTask(
        name=view.name,
        description=view.description,
        schedule=build.schedule,
        line=line,
        shell=shell,
        cwd=_relative_to_home(cwd, environment),
        creates_cwd=not execution.cwd,
        stdin=execution.stdin,
        environment=environment,
        policy=build.policy,
        inactive=inactive,
        notes=tuple(notes),
    )


def _relative_to_home(cwd: str, environment: dict[str, str]) -> str:
    home = environment.get("HOME", str(Path.home()))
    return "~" if cwd == home else cwd
