"""Command groups: commands that load on demand, suggestions for unknown ones, and commands spelled as options."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from keiji.errors import UsageError
from keiji_cli.arguments import normalize_argv, split_rest, suggest


class Command(click.Command):
    """A command whose usage errors refer to its own help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click leaves it empty if the value of an option is missing
            raise


class RestCommand(Command):
    """A command with words after ``--``, in the order in which they were typed.

    They are the parameter ``rest`` of its function; None if there is no ``--``.

    Args:
        rest_metavar: what they are, in the usage line.
    """

    takes_rest = True

    def __init__(self, *, rest_metavar: str = "WORDS", **attributes: Any) -> None:
        super().__init__(**attributes)
        self.rest_metavar = rest_metavar

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own, rest = split_rest(self, args)
        ctx.params["rest"] = rest
        try:
            return super().parse_args(ctx, own)
        except click.UsageError as error:
            if rest is None and "unexpected extra argument" in error.message:
                raise UsageError(error.message.rstrip("."), hint=f"put {self.rest_metavar} after --") from error
            raise

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), f"[-- {self.rest_metavar}]"]


class SuggestingGroup(click.Group):
    """A group that suggests the closest match for an unknown command and lists commands in order of definition."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            raise UsageError(f"{ctx.command_path} has no command {name!r}", hint=suggest(name, self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


class OptionSpellingGroup(SuggestingGroup):
    """A group whose commands and their arguments may be spelled as options: see `keiji_cli.arguments`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # shell completion, which must not fail
            args = normalize_argv(self.commands, args, path=ctx.command_path)
        return super().parse_args(ctx, args)


class CommandReference(NamedTuple):
    """Where to import a command from, and its line in ``--help``, which is shown without importing it."""

    module: str
    name: str
    summary: str


class LazyGroup(SuggestingGroup):
    """A group that imports a command when it is called, so that ``--help`` imports none of them."""

    def __init__(self, *, references: Mapping[str, CommandReference], **attributes: Any) -> None:
        super().__init__(**attributes)
        self.references = references

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.references)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        reference = self.references.get(cmd_name)
        if reference is None:
            return None
        command: click.Command = getattr(importlib.import_module(reference.module), reference.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, reference.summary) for name, reference in self.references.items()])
