"""``keiji init``: make a workspace, and the folders that keiji keeps its state in."""

from __future__ import annotations

from pathlib import Path

import click

from keiji import workspace
from keiji.paths import Paths
from keiji_cli import client, output

_LOGGED = ("bus", "repo", "scheduler")


@click.command()
def init() -> None:
    """Make a workspace, and the folders that keiji keeps its state in.

    What is there already stays as it is.
    """
    paths = client.paths()
    made = make(paths)
    if not made:
        output.progress(f"workspace already initialized, nothing changed: {paths.workspace}")
    else:
        click.echo()
        click.echo(output.tree(paths.workspace, lambda path: path.parent == paths.tasks))
        for root in _roots(paths):
            click.echo()
            click.echo(output.tree(root, lambda path: path in {paths.workspace, paths.runtime}))
        click.echo()
    click.echo('next: keiji task create ping_google --desc="pings google"')


def make(paths: Paths) -> list[Path]:
    """Make whatever is not there yet, saying so, and return it.

    Raises:
        InvalidSettings: the settings that are there cannot be used.
        KeijiError: a folder or file cannot be made; nothing is then.
        StorageError: the database that they name cannot be used.
    """
    made = workspace.create(paths)
    settings = client.settings(paths)
    for service in _LOGGED:
        log = paths.service_log(service)
        if not log.exists():
            log.parent.mkdir(parents=True, exist_ok=True)
            log.touch()
            made.append(log)
    if made:
        output.progress("Initializing work space...", *map(str, made))
    is_ours = settings.database_kind == "sqlite"
    existed = paths.database.exists()
    client.tasks(paths)  # the first request makes the database
    if is_ours and not existed:
        made.append(paths.database)
        output.progress(str(paths.database))
    if made:
        output.progress("ok")
    return made


def _roots(paths: Paths) -> list[Path]:
    return [paths.data] if paths.logs.is_relative_to(paths.data) else [paths.data, paths.logs]
