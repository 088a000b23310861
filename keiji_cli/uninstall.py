"""Removing everything that keiji keeps, after having said what that is."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

import click

from keiji import engine_process
from keiji.errors import InvalidSettings, KeijiError, UsageError
from keiji.paths import Paths
from keiji_cli import client, output, services


def state_of(paths: Paths) -> dict[Path, str]:
    """Return what keiji made for itself and is there, and what each is.

    Named one by one: the folder around them may also hold the workspace, or the state of other workspaces.
    """
    known = {
        paths.database.parent: "database: tasks and history",
        paths.builds: "builds",
        paths.data / "envs": "environments of builds",
        paths.links.parent: "links to builds",
        paths.work: "working folders of tasks: what their runs wrote there",
        paths.logs / "tasks": "logs of tasks",
        paths.logs / "services": "logs of services",
        paths.runtime: "sockets and files of live runs",
        paths.engine_lock: "lock of the engine",
        paths.command_lock: "lock of commands",
    }
    return {path: meaning for path, meaning in known.items() if path.exists()}


def uninstall(paths: Paths, *, yes: bool, with_sources: bool) -> None:
    """Say what will be removed, with sizes, ask, stop everything, remove it.

    Raises:
        UsageError: it has to ask, and there is no terminal to ask on.
        KeijiError: the answer was no, or something could not be stopped.
    """
    state = state_of(paths)
    sources = paths.workspace.is_dir()
    if not state and not (sources and with_sources):
        output.progress("there is nothing to remove")
        return
    _announce(paths, state, with_sources=with_sources and sources)
    if not yes and not sys.stdin.isatty():
        raise UsageError("this has to be confirmed, and there is no terminal to ask on", hint="add --yes")
    if not yes:
        if not click.confirm("Remove all of this?", default=False):
            raise KeijiError("nothing was removed")
        if sources and not with_sources:
            question = f"Remove the workspace with the sources of your tasks as well, {paths.workspace}?"
            with_sources = click.confirm(question, default=False)
    remote = _database_elsewhere(paths)
    services.end_everything(paths)
    for path in state_of(paths):
        _remove(path)
    if with_sources and sources:
        _remove(paths.workspace)
    for folder in (paths.links.parent, paths.logs, paths.logs.parent, paths.data):
        with contextlib.suppress(OSError):  # what is left in it is not ours
            folder.rmdir()
    output.progress("uninstall complete")
    if remote:
        output.progress("the PostgreSQL database named by DB_URL was left as it is")
    if sources and not with_sources:
        output.progress(f"your workspace stays: {paths.workspace}")
    output.progress("pip uninstall keiji removes the program itself")


def _announce(paths: Paths, state: dict[Path, str], *, with_sources: bool) -> None:
    removed = dict(state)
    if with_sources:
        removed[paths.workspace] = "workspace: your tasks and settings"
    rows = [(str(path), output.size(size_of(path)), meaning) for path, meaning in removed.items()]
    click.echo("This removes:")
    click.echo(output.table(("PATH", "SIZE", "WHAT"), rows))
    if paths.workspace.is_dir() and not with_sources:
        click.echo(f"\nThis stays:\n{paths.workspace}  {output.size(size_of(paths.workspace))}  your workspace")
    if _database_elsewhere(paths):
        click.echo("The PostgreSQL database that DB_URL names stays, too, with tasks and history in it.")
    if engine_process.is_running(paths) or services.live_runs(paths):
        click.echo("\nThe engine and every live run are stopped first.")


def size_of(path: Path) -> int:
    """Return how many bytes are in a file, or in all the files of a folder."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    return sum(size_of(inner) for inner in path.iterdir())


def _database_elsewhere(paths: Paths) -> bool:
    try:
        return client.settings(paths).database_kind != "sqlite"
    except InvalidSettings:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for folder in (path, *(inner for inner in path.rglob("*") if inner.is_dir() and not inner.is_symlink())):
            folder.chmod(0o700)  # builds are read-only, and so are their folders
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
