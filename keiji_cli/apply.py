"""``keiji check`` and ``keiji apply``: tasks from version control."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keiji import settings as settings_file
from keiji.errors import InvalidSettings, KeijiError, TaskNotFound, UsageError, WorkspaceMissing
from keiji.names import find_slug
from keiji.workspace import find_task_folders
from keiji_cli import client
from keiji_cli.table import Column, format_table, output_width

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from keiji.paths import Paths
    from keiji_engine.builds.check import Checked
    from keiji_engine.bus.views import ApplyOutcome, FolderView

_TIMEOUT = 3600.0  # seconds; thousands of tasks may be new
_OUTCOMES = ("created", "built", "unchanged", "pinned", "pruned", "failed")
_COLUMNS = (Column("TASK", min_width=16), Column("RESULT"), Column("DETAIL", min_width=24))


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
def check(names: tuple[str, ...]) -> int:
    """Validate tasks as a build does, without changing anything.

    Without NAME, all tasks are validated. It needs no engine and no database. Exit codes: 0 if all of them are
    valid, 1 if not.
    """
    paths = client.current_paths()
    folders = _task_folders(paths)
    chosen = [_find_folder(paths, folders, name) for name in names] if names else folders
    errors, valid = 0, 0
    for checked in _check(paths, chosen, folders):
        if checked.error:
            errors += 1
            _print_error(checked.folder, checked.error)
        else:
            valid += 1
    click.echo(f"{valid} valid, {errors} invalid")
    return int(errors > 0)


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Validate what would be built, and change nothing.")
@click.option("--prune", is_flag=True, help="Delete the tasks whose folder is gone, with their history and logs.")
@click.option("--yes", is_flag=True, help="With --prune: do not ask for confirmation.")
@click.option("--all", "show_all", is_flag=True, help="List unchanged tasks as well.")
def apply(*, only_check: bool, prune: bool, yes: bool, show_all: bool) -> int:
    """Build all tasks that are new or changed.

    Run it after git pull. A task that cannot be built does not affect the others. Exit codes: 0 if all tasks were
    built, 1 if one failed.
    """
    paths = client.require_workspace()
    if only_check:
        outcomes = _dry_run(paths, prunes=prune)
    else:
        outcomes = _apply(paths, _confirm_prune(paths, yes=yes) if prune else ())
    _print_outcomes(outcomes, show_all=show_all, is_dry_run=only_check)
    return int(any(outcome.outcome == "failed" for outcome in outcomes))


# ── validation ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _task_folders(paths: Paths) -> list[str]:
    try:
        return find_task_folders(paths.tasks)
    except OSError as error:
        hint = "set KEIJI_WORKSPACE to the folder that contains tasks/"
        raise WorkspaceMissing(f"{paths.tasks} cannot be read: {error.strerror}", hint=hint) from error


def _find_folder(paths: Paths, folders: Sequence[str], name: str) -> str:
    """Return the folder of a task, by its name or its slug; any folder that exists may be checked."""
    if Path(name).name == name and (paths.tasks / name).is_dir():
        return name
    from keiji_engine.builds import read_details

    known = []
    for folder in folders:
        try:
            known.append((read_details(paths.tasks / folder).name or folder, folder))
        except KeijiError:
            known.append((folder, folder))
    try:
        return find_slug(name, known)
    except TaskNotFound as error:
        hint = error.hint if "did you mean" in error.hint else f"the tasks are the folders in {paths.tasks}"
        raise TaskNotFound(error.message, hint=hint) from error


def _check(paths: Paths, chosen: Sequence[str], folders: Sequence[str]) -> list[Checked]:
    """Validate the chosen folders of tasks, of all ``folders``."""
    from keiji_engine.builds.check import Checked, check_folders, shared_names
    from keiji_engine.builds.workspace_file import read_defaults

    env = read_defaults(paths.workspace).env
    zone = _zone(paths)
    same_name = shared_names(paths.tasks, folders)

    async def run() -> list[Checked]:
        results = check_folders(paths.tasks, chosen, now=datetime.now(UTC), zone=zone, env=env)
        return [Checked(each.folder, each.error or same_name.get(each.folder, "")) async for each in results]

    return asyncio.run(run())


def _zone(paths: Paths) -> str:
    """Return the time zone of the workspace; UTC without settings, which need not be under version control."""
    try:
        return settings_file.load(paths.settings).time_zone
    except InvalidSettings as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return "UTC"
        raise


def _print_error(folder: str, error: str) -> None:
    first, *rest = error.splitlines()
    click.echo(f"tasks/{folder}: {first}")
    for line in rest:
        click.echo(f"    {line}")


# ── apply ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _plan(paths: Paths) -> tuple[FolderView, ...]:
    from keiji_engine.bus.protocol import PlanApply

    return client.ask(paths, PlanApply()).folders


def _apply(paths: Paths, prune: tuple[str, ...]) -> tuple[ApplyOutcome, ...]:
    from keiji_engine.bus.protocol import Apply
    from keiji_engine.client import facade

    return facade.ask(paths, Apply(prune=prune), sender=client.SENDER, timeout=_TIMEOUT).outcomes


def _dry_run(paths: Paths, *, prunes: bool) -> tuple[ApplyOutcome, ...]:
    """Return what `_apply` would do; the tasks to be built are validated."""
    from keiji_engine.bus.views import ApplyOutcome, FolderState

    plan = _plan(paths)
    outcome_of = {FolderState.NEW: "created", FolderState.CHANGED: "built", FolderState.INVALID: "failed"}
    to_build = [view.folder for view in plan if view.state in {FolderState.NEW, FolderState.CHANGED}]
    errors = {each.folder: each.error for each in _check(paths, to_build, to_build)}
    outcomes = []
    for view in plan:
        if view.state is FolderState.MISSING:
            if prunes:
                outcomes.append(ApplyOutcome(task=view.folder, outcome="pruned"))
            continue
        error = errors.get(view.folder) or (view.error if view.state is FolderState.INVALID else "")
        outcome = "failed" if error else outcome_of.get(view.state, str(view.state))
        outcomes.append(ApplyOutcome(task=view.folder, outcome=outcome, error=error))
    return tuple(outcomes)


def _confirm_prune(paths: Paths, *, yes: bool) -> tuple[str, ...]:
    """List the tasks without a folder, and return them once the user has confirmed that they are deleted."""
    from keiji_engine.bus.views import FolderState

    gone = tuple(view.folder for view in _plan(paths) if view.state is FolderState.MISSING)
    if not gone:
        return ()
    click.echo("These tasks have no folder any more; their history, logs and builds are deleted:", err=True)
    for slug in gone:
        click.echo(f"    {slug}", err=True)
    if yes:
        return gone
    if not sys.stdin.isatty():
        raise UsageError(
            "nothing was changed: --prune needs --yes when there is no terminal to confirm it on",
            hint="keiji apply --prune --yes deletes them; keiji apply only builds",
        )
    if not click.confirm("Delete them?", default=False, err=True):
        raise KeijiError("nothing was changed")
    return gone


def _print_outcomes(outcomes: Sequence[ApplyOutcome], *, show_all: bool, is_dry_run: bool) -> None:
    shown = [outcome for outcome in outcomes if show_all or outcome.outcome != "unchanged"]
    if shown:
        rows = [(each.task, each.outcome, _detail(each)) for each in shown]
        click.echo(format_table(_COLUMNS, rows, output_width()))
    failed = [outcome for outcome in shown if len(outcome.error.splitlines()) > 1]
    for outcome in failed:
        _print_error(outcome.task, outcome.error)
    click.echo(_summary(outcomes, is_dry_run=is_dry_run))


def _detail(outcome: ApplyOutcome) -> str:
    if outcome.error:
        return outcome.error.splitlines()[0]
    if outcome.outcome == "pinned":
        return f"keeps build {outcome.build}: keiji task unpin {outcome.task} releases it" if outcome.build else ""
    return f"build {outcome.build}" if outcome.build else ""


def _summary(outcomes: Iterable[ApplyOutcome], *, is_dry_run: bool) -> str:
    counts = Counter(outcome.outcome for outcome in outcomes)
    counted = ", ".join(f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES if counts[outcome])
    return (counted or "there are no tasks") + ("; nothing was changed (--check)" if is_dry_run else "")
