"""Groups of commands: imported when they are called, and kind to a slip of the finger."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from keiji.errors import UsageError
from keiji_cli.arguments import nearest


class Kind(click.Group):
    """A group that answers an unknown command with the nearest known one, and lists them as they were written."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        wanted = args[0]
        if not wanted.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, wanted) is None:
            raise UsageError(
                f"{ctx.command_path} has no command {wanted!r}", hint=nearest(wanted, self.list_commands(ctx))
            )
        return super().resolve_command(ctx, args)


class Place(NamedTuple):
    """Where a command is, and what ``--help`` says of it without going there."""

    module: str
    name: str
    summary: str


class Lazy(Kind):
    """A group whose commands are imported when they are called, so that ``--help`` loads none of them."""

    def __init__(self, *, places: Mapping[str, Place], **attributes: Any) -> None:
        super().__init__(**attributes)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self.places.get(cmd_name)
        if place is None:
            return None
        command: click.Command = getattr(importlib.import_module(place.module), place.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in self.places.items()])
