"""``keiji help``: the help of a command, for those who type it as a word."""

from __future__ import annotations

import click

from keiji.errors import UsageError
from keiji_cli.arguments import suggest
from keiji_cli.groups import Command


@click.command(name="help", cls=Command)
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def show_help(context: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command.

    keiji help task build is the same as keiji task build --help.
    """
    current = context.find_root()
    for word in words:
        group = current.command
        if not isinstance(group, click.Group):
            raise UsageError(f"{current.command_path} has no commands", hint=f"{current.command_path} --help")
        command = group.get_command(current, word)
        if command is None:
            hint = suggest(word, group.list_commands(current))
            raise UsageError(f"{current.command_path} has no command {word!r}", hint=hint)
        current = click.Context(command, info_name=word, parent=current)
    click.echo(current.get_help())
