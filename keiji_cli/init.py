"""``keiji init``: make a workspace, and the folders that keiji keeps its state in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from keiji.paths import Paths
from keiji.settings import local_zone, template
from keiji_cli import here, output

_PYPROJECT = """\
# What the tasks of this workspace import. They run with the Python that keiji itself runs with: install what you list
# here into that one (python -m pip install …).
[project]
name = "keiji-workspace"
version = "0"
requires-python = ">=3.11"
dependencies = []
"""
_LOGGED = ("bus", "repo", "scheduler")


@click.command()
def init() -> None:
    """Make a workspace, and the folders that keiji keeps its state in.

    What is there already stays as it is.
    """
    paths = here.paths()
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
        StorageError: the database that they name cannot be used.
    """
    made: list[Path] = []

    def ensure(path: Path, create: Callable[[], object]) -> None:
        if not path.exists():
            if not made:
                output.progress("Initializing work space...")
            made.append(path)
            create()
            output.progress(str(path))

    def written(path: Path, text: str) -> Callable[[], object]:
        return lambda: path.write_text(text, encoding="utf-8")

    ensure(paths.tasks, lambda: paths.tasks.mkdir(parents=True))
    ensure(paths.settings, written(paths.settings, template(local_zone())))
    ensure(paths.workspace / "pyproject.toml", written(paths.workspace / "pyproject.toml", _PYPROJECT))
    settings = here.settings(paths)
    for service in _LOGGED:
        log = paths.service_log(service)
        ensure(log, lambda log=log: (log.parent.mkdir(parents=True, exist_ok=True), log.touch()))  # type: ignore[misc]
    is_ours = settings.database_kind == "sqlite"
    existed = paths.database.exists()
    here.tasks(paths)  # the first request makes the database
    if is_ours and not existed:
        made.append(paths.database)
        output.progress(str(paths.database))
    if made:
        output.progress("ok")
    return made


def _roots(paths: Paths) -> list[Path]:
    return [paths.data] if paths.logs.is_relative_to(paths.data) else [paths.data, paths.logs]
