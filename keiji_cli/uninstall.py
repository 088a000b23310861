"""``keiji system uninstall``: remove keiji's state after listing it and asking for confirmation."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from keiji import engine_process, file_tree
from keiji.errors import InvalidSettings, KeijiError, UsageError
from keiji.paths import Paths
from keiji_cli import client, output, services
from keiji_cli.table import Column, format_table, output_width

_COLUMNS = (Column("PATH"), Column("SIZE"), Column("CONTENTS", min_width=20))


def find_state(paths: Paths) -> dict[Path, str]:
    """Return the existing files and folders of keiji's state, each with a description.

    They are listed one by one because their parent folder may also contain the workspace or the state of other
    workspaces.
    """
    descriptions = {
        paths.database.parent: "database: tasks and history",
        paths.builds: "builds",
        paths.data / "envs": "environments of builds",
        paths.links.parent: "links to builds",
        paths.work: "working directories of tasks, with the files that runs wrote there",
        paths.logs / "tasks": "task logs",
        paths.logs / "services": "service logs",
        engine_process.last_runtime_folder(paths): "sockets",
        paths.runs.parent: "files of live runs",
        paths.engine_lock: "engine lock",
        paths.workspace_lock: "engine lock of the workspace",
        paths.command_lock: "command lock",
        paths.launcher_lock: "launcher lock",
        paths.installation_id: "id of this installation",
    }
    return {path: description for path, description in descriptions.items() if path.exists()}


def uninstall(paths: Paths, *, yes: bool, remove_workspace: bool) -> None:
    """List what will be removed, ask for confirmation, stop the engine and all runs, and remove it.

    Raises:
        UsageError: confirmation is required, but standard input is not a terminal.
        EngineRunning: an engine with another data folder uses the workspace.
        KeijiError: the user declined, or the engine or a run could not be stopped.
    """
    engine_process.require_free_workspace(paths)
    state = find_state(paths)
    workspace_exists = paths.workspace.is_dir()
    if not state and not (workspace_exists and remove_workspace):
        output.print_progress("there is nothing to remove")
        return
    _print_plan(paths, state, remove_workspace=remove_workspace and workspace_exists)
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            "uninstall requires confirmation, but standard input is not a terminal", hint="--yes confirms it"
        )
    if not yes:
        if not click.confirm("Remove all of this?", default=False, err=True):
            raise KeijiError("nothing was removed")
        if workspace_exists and not remove_workspace:
            question = f"Also remove the workspace with the sources of your tasks, {paths.workspace}?"
            remove_workspace = click.confirm(question, default=False, err=True)
    has_remote_database = _has_remote_database(paths)
    services.stop_engine_and_runs(paths)
    for path in find_state(paths):
        _remove(path)
    if remove_workspace and workspace_exists:
        _remove(paths.workspace)
    for folder in (paths.links.parent, paths.logs, paths.logs.parent, paths.data):
        with contextlib.suppress(OSError):  # it contains files that do not belong to keiji
            folder.rmdir()
    output.print_progress("uninstall complete")
    if has_remote_database:
        output.print_progress("the PostgreSQL database in DB_URL was not removed")
    if workspace_exists and not remove_workspace:
        output.print_progress(f"your workspace was kept: {paths.workspace}")
    output.print_progress("pip uninstall keiji removes the program itself")


def _print_plan(paths: Paths, state: dict[Path, str], *, remove_workspace: bool) -> None:
    removed = dict(state)
    if remove_workspace:
        removed[paths.workspace] = "workspace: your tasks and settings"
    rows = [(str(path), output.format_size(total_size(path)), description) for path, description in removed.items()]
    click.echo("Will be removed:")
    click.echo(format_table(_COLUMNS, rows, output_width()))
    if paths.workspace.is_dir() and not remove_workspace:
        size = output.format_size(total_size(paths.workspace))
        click.echo(f"\nWill be kept:\n{paths.workspace}  {size}  your workspace")
    if _has_remote_database(paths):
        click.echo("The PostgreSQL database in DB_URL, with tasks and history, will be kept too.")
    if engine_process.is_running(paths) or services.count_run_files(paths):
        click.echo("\nThe engine and all live runs will be stopped first.")


def total_size(path: Path) -> int:
    """Return the size of a file, or of all files in a folder, in bytes. Symbolic links are not followed."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    return sum(total_size(entry) for entry in path.iterdir())


def _has_remote_database(paths: Paths) -> bool:
    try:
        return client.load_settings(paths).database_kind != "sqlite"
    except InvalidSettings:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        file_tree.remove(path)
    else:
        path.unlink(missing_ok=True)
