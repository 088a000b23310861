"""``keiji init``: create a workspace and the folders for keiji's state."""

from __future__ import annotations

from pathlib import Path

import click

from keiji import private, workspace
from keiji.local_zone import find_local_zone
from keiji.paths import Paths
from keiji_cli import client, output
from keiji_cli.groups import Command

_SERVICE_LOGS = ("bus", "repo", "scheduler")


@click.command(cls=Command)
def init() -> None:
    """Create a workspace and the folders for keiji's state.

    Existing files are left unchanged.
    """
    paths = client.current_paths()
    created = initialize(paths)
    if not created:
        output.print_progress(f"workspace already initialized, nothing changed: {paths.workspace}")
    else:
        click.echo()
        click.echo(output.format_tree(paths.workspace, lambda path: path.parent == paths.tasks or path.name == ".git"))
        for root in _state_roots(paths):
            click.echo()
            click.echo(output.format_tree(root, lambda path: path in {paths.workspace, paths.runtime}))
        click.echo()
    if client.find_unregistered(paths, client.get_tasks(paths)):
        click.echo("next: keiji apply, which builds the tasks in tasks/")
    else:
        click.echo('next: keiji task create ping_google --desc="pings google"')


def initialize(paths: Paths) -> list[Path]:
    """Create and print every missing file and folder, and return them.

    Raises:
        InvalidSettings: the existing settings are invalid.
        KeijiError: a file or folder cannot be created; in that case no other one is left behind.
        StorageError: the database in the settings cannot be used.
    """
    created = workspace.create(paths)
    is_new = paths.settings in created
    settings = client.load_settings(paths)
    paths.create_folders()
    for service in _SERVICE_LOGS:
        log = paths.service_log(service)
        if not log.exists():
            private.create_folder(log.parent)
            log.touch(mode=0o600)
            created.append(log)
    if created:
        output.print_progress("Initializing work space...", *map(str, created))
    if is_new:
        output.print_progress(f"time zone: {find_local_zone().describe()}")
    database_existed = paths.database.exists()
    client.get_tasks(paths)  # the first request creates the database
    if settings.database_kind == "sqlite" and not database_existed:
        created.append(paths.database)
        output.print_progress(str(paths.database))
    if created:
        output.print_progress("ok")
    return created


def _state_roots(paths: Paths) -> list[Path]:
    return [paths.data] if paths.logs.is_relative_to(paths.data) else [paths.data, paths.logs]
