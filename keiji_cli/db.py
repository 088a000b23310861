"""``keiji db``: the database and who owns it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from keiji.errors import UsageError
from keiji_cli import client, output
from keiji_cli.groups import OptionSpellingGroup


@click.group(cls=OptionSpellingGroup)
def db() -> None:
    """Manage the database."""


@db.command(name="take-over")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def take_over(*, yes: bool) -> None:
    """Make this installation the owner of its database.

    Only the owner writes to a database. Take one over if you have moved or restored it from another installation, whose
    engine must not use it any more: stop that engine first. Its live runs, if there are any, are recorded as lost.
    """
    from keiji_engine.client import ownership

    paths = client.require_workspace()
    former = ownership.find_owner(paths)
    if not former:
        output.print_progress("the database already belongs to this installation")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                f"taking over the database of {former} requires confirmation", hint="add --yes if its engine is stopped"
            )
        click.confirm(f"Take over the database from {former}? Its engine must be stopped.", abort=True)
    ownership.take_over(paths, client.SENDER, datetime.now(UTC))
    output.print_progress(f"the database now belongs to this installation; it belonged to {former}")
